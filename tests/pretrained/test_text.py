"""Folders that write text, beside transformers: the tokens that a folder asks for and those that it bans."""

import json
from pathlib import Path
from typing import Any

import pytest

from attnjax.config import InputError
from attnjax.models import beams
from attnjax.pretrained.text import text_model

VOCAB = 31
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 24,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 48,
    "init_std": 0.6,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 1,
}
SOURCE = [5, 9, 7, 12, 1]


def write(folder: Path, name: str, **generation: Any) -> Any:
    """Writes a small model with a tokenizer of single letters, as transformers does; returns theirs."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES)
    theirs = getattr(transformers, f"{name}ForConditionalGeneration" if name == "Bart" else f"{name}MTModel")
    model = theirs(config).eval()
    for key, value in generation.items():
        setattr(model.generation_config, key, value)
    model.save_pretrained(folder)
    known = {chr(ord("A") + i): i for i in range(VOCAB)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(known, []))
    tokenizer.save(str(folder / "tokenizer.json"))
    return model


def test_what_a_folder_forces_and_bans_is_kept(tmp_path) -> None:
    """As BART for summaries begins each with a token, and Marian never writes the one that fills up."""
    torch = pytest.importorskip("torch")
    plain = [int(x) for x in write(tmp_path / "plain", "Marian").generate(
        torch.tensor([SOURCE]), max_new_tokens=8, num_beams=1, do_sample=False
    )[0]][1:]  # fmt: skip
    asked = {
        "forced": {"forced_bos_token_id": 6},
        "banned": {"bad_words_ids": [[plain[0]], plain[1:3], [1]]},
        "suppressed": {"suppress_tokens": plain[:1]},
    }
    written = {"plain": plain}
    for name, generation in asked.items():
        theirs = write(tmp_path / name, "Marian" if name != "forced" else "Bart", **generation)
        for number in (1, 3):
            found = theirs.generate(
                torch.tensor([SOURCE]),
                max_new_tokens=8,
                num_beams=number,
                do_sample=False,
                length_penalty=1.0,
            )[0].tolist()[1:]
            writer = text_model(tmp_path / name)
            strategy = None if number == 1 else beams(number)
            text = "".join(writer.write(SOURCE, max_length=8, strategy=strategy))
            expected = found[: found.index(1)] if 1 in found else found
            assert text == writer.decode([token for token in expected if token]), (name, number)
            written[name] = found
    assert written["forced"][0] == 6
    assert plain[0] not in written["banned"] + written["suppressed"]


def test_what_begins_a_target_is_asked_for_by_its_key(tmp_path) -> None:
    write(tmp_path / "bart", "Bart")
    for file in ("config.json", "generation_config.json"):
        settings = json.loads((tmp_path / "bart" / file).read_text())
        settings = {
            key: x for key, x in settings.items() if key not in ("decoder_start_token_id", "bos_token_id")
        }
        (tmp_path / "bart" / file).write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"config\.json has no decoder_start_token_id: expected what begins"):
        text_model(tmp_path / "bart")
