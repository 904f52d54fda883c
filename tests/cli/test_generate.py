"""`attnjax generate`: text from a pretrained folder, options by name, one clear error for each misuse."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from attnjax import models
from attnjax.config import InputError
from attnjax.models import in_int8
from attnjax.models.decoding.text import TextStream
from attnjax.pretrained.text import text_model
from tests.cli.small_llama import folder as folder

Run = Callable[..., tuple[int, str, str]]


def test_greedy_text_is_the_same_in_pieces_by_a_draft_and_as_json(attnjax: Run, folder: Path) -> None:
    code, out, err = attnjax("generate", str(folder), "hello", "hey", "--max-tokens", "10")
    assert (code, err) == (0, "")
    assert len(out.split("\n")) == 3
    assert attnjax("generate", str(folder), "hello", "hey", "--max-tokens", "10", "--draft", str(folder)) == (
        0,
        out,
        "",
    )
    _, lines, _ = attnjax("generate", str(folder), "hello", "hey", "--max-tokens", "10", "--json")
    assert "".join(json.loads(line)["output"] + "\n" for line in lines.splitlines()) == out
    stop = out[3:5]
    assert (
        attnjax("generate", str(folder), "hello", "--max-tokens", "10", "--stop", stop)[1]
        == out[: out.index(stop)] + "\n"
    )


def test_int8_holds_the_model_and_its_draft_so(attnjax: Run, folder: Path, monkeypatch) -> None:
    """What is written is what the model in int8 writes."""
    held = []
    monkeypatch.setattr(models, "in_int8", lambda model: held.append(in_int8(model)) or held[-1])
    asked = ("generate", str(folder), "hello", "--max-tokens", "6", "--int8")
    code, out, _ = attnjax(*asked, "--draft", str(folder))
    assert (code, len(held)) == (0, 2)
    writer = text_model(folder)
    pieces = replace(writer, model=in_int8(writer.model)).write(writer.encode("hello"), max_length=6)
    assert out == "".join(pieces) + "\n"


def test_what_is_drawn_follows_the_seed(attnjax: Run, folder: Path) -> None:
    options = (
        "--max-tokens",
        "10",
        "--temperature",
        "2.5",
        "--top-k",
        "200",
        "--chat",
        "--system",
        "be brief",
    )
    outputs = [
        attnjax("generate", str(folder), "hello", *options, "--seed", seed) for seed in ("1", "1", "2")
    ]
    assert outputs[0] == outputs[1] != outputs[2]
    assert outputs[0][0] == 0


def test_a_chat_is_what_the_template_makes_of_it(folder: Path) -> None:
    writer = text_model(folder)
    assert writer.eos == (1,)
    text = writer.chat(" hi ", "be brief")
    assert text == "<s>[system] be brief\n[user] hi\n[assistant] "
    assert writer.raw(text)[0] == 0
    assert writer.decode(writer.raw(text)) == text.removeprefix("<s>")
    with pytest.raises(InputError, match="chat template: refused"):
        writer.chat("no", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--top-p", "2"), "top_p 2.0: expected in (0, 1]"),
        (("--beams", "2", "--temperature", "1"), "--beams comes with --temperature: expected one of them"),
        (("--length-penalty", "2"), "--length-penalty comes without --beams: it is of beams"),
        (("--max-tokens", "0"), "--max-tokens is 0: expected 1 or more"),
        (("--system", "x"), "--system comes without --chat: it is part of a chat"),
    ],
)
def test_misuse_is_one_line(attnjax: Run, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    assert attnjax("generate", str(folder), "hi", *arguments) == (2, "", f"attnjax: error: {message}\n")


def test_what_a_folder_bans_no_draft_may_propose(attnjax: Run, folder: Path, tmp_path: Path) -> None:
    """One line, without the draft's parameters."""
    banning = tmp_path / "banning"
    shutil.copytree(folder, banning)
    plain = attnjax("generate", str(folder), "hello", "--max-tokens", "6")[1]
    tokens = text_model(folder).encode(plain.strip())
    (banning / "generation_config.json").write_text(json.dumps({"suppress_tokens": list(tokens)}))
    code, out, _ = attnjax("generate", str(banning), "hello", "--max-tokens", "6")
    assert code == 0
    assert out != plain
    code, _, err = attnjax("generate", str(banning), "hello", "--draft", str(folder))
    assert (code, err.count("\n"), len(err) < 120) == (2, 1, True)
    assert "keeps no rules" in err


def test_a_folder_without_what_it_takes(attnjax: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = attnjax("generate", str(tmp_path / "empty"), "hi")
    assert (code, out) == (2, "")
    assert "has no config.json: expected a folder of a pretrained model, or a run" in err
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in ("config.json", "model.safetensors"):
        (bare / file).write_bytes((folder / file).read_bytes())
    assert "tokenizer.json: no such tokenizer file" in attnjax("generate", str(bare), "hi")[2]
    (bare / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert "has no chat template" in attnjax("generate", str(bare), "hi", "--chat")[2]


def bytes_of(text: str) -> Iterator[list[int]]:
    """Tokens that are bytes, one at a time."""
    yield from ([byte] for byte in text.encode())


@pytest.mark.parametrize("stop", [["stop"], ["xyz", "o n"], []])
def test_a_stream_shows_neither_half_a_character_nor_a_stop_string(stop: list[str]) -> None:
    text = "gö s sto stön sto now stop here"
    stream = TextStream(lambda ids: bytes(ids).decode(errors="replace"), stop)
    pieces = []
    for tokens in bytes_of(text):
        pieces.append(stream.add(tokens))
        if stream.stopped:
            break
    ends = [text.index(string) for string in stop if string in text]
    assert "".join([*pieces, stream.rest()]) == text[: min(ends, default=len(text))]
    assert stream.stopped == bool(ends)
    assert "�" not in "".join(pieces)
