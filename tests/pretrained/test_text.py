"""Folders that write text, beside transformers: the tokens that a folder asks for and those that it bans."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.models import beams, force, generate
from attnjax.pretrained import from_pretrained
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
SOURCES = [SOURCE, [8, 1], [20, 3, 3, 17, 29, 6, 14, 11, 1], [4, 25, 10, 1], [30, 22, 13, 7, 5, 1], [16, 1]]
LENGTHS = np.array([len(source) for source in SOURCES])
PADDED = np.array([source + [0] * (LENGTHS.max() - len(source)) for source in SOURCES])
MARKS = {"bos": SIZES["decoder_start_token_id"], "eos": SIZES["eos_token_id"]}
MOST, COUNT = 12, 4
"""Tokens of a text at most, and beams."""


def write(folder: Path, name: str, sizes: dict[str, Any] | None = None, /, **generation: Any) -> Any:
    """Writes a small model with a tokenizer of single letters, as transformers does; returns theirs."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES | (sizes or {}))
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


@pytest.fixture(scope="module")
def theirs_and_ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A Marian model of transformers, whose texts end here and there, and the same weights of ours."""
    folder = tmp_path_factory.mktemp("marian")
    theirs = write(folder, "Marian", {"init_std": 0.5}, forced_eos_token_id=None)
    theirs.final_logits_bias[0, MARKS["eos"]] += 3
    theirs.save_pretrained(folder)
    return theirs, from_pretrained(folder)


@pytest.mark.parametrize("early", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_all_beams_are_those_of_transformers(theirs_and_ours, length_penalty, early) -> None:
    """Both count the tokens behind the first one of the decoder, the end mark among them."""
    theirs, ours = theirs_and_ours
    texts, scores = _their_beams(theirs, length_penalty=length_penalty, early_stopping=early)
    strategy = beams(COUNT, length_penalty=length_penalty, early=early)
    found = generate(ours, PADDED, LENGTHS, strategy=strategy, max_length=MOST, pad=0, **MARKS).ranked
    assert found is not None
    np.testing.assert_allclose(np.ravel(found.scores), scores, atol=1e-4)
    assert (-np.diff(scores.reshape(-1, COUNT))).min() > 5e-4  # No ties, whose order means nothing.
    assert [_until_the_end(row) for row in np.asarray(found.tokens).reshape(-1, MOST)] == texts
    assert len({len(text) for text in texts}) > 3
    assert max(map(len, texts)) == MOST


def test_the_end_mark_that_transformers_forces_costs_nothing(theirs_and_ours) -> None:
    """Where a text ends because it is of the greatest length, transformers and we differ by definition.

    Marian models have forced_eos_token_id: the last token that there is room for is the end mark then, and
    its log probability counts as 0. Ours ends with the likeliest token, which counts, as theirs does
    without that setting. All shorter texts have one score.
    """
    theirs, ours = theirs_and_ours
    end = MARKS["eos"]
    texts, scores = _their_beams(theirs, length_penalty=0.0, forced_eos_token_id=end)
    free = [len(text) == MOST for text in texts]
    counts = np.array([len(text) for text in texts]) - free
    tokens = np.array([text + [0] * (MOST - len(text)) for text in texts])
    repeated = (np.repeat(x, COUNT, axis=0) for x in (PADDED, LENGTHS))
    ours_of_theirs = force(ours, *repeated, tokens, counts=counts, bos=MARKS["bos"]).log_probs.sum(axis=1)
    np.testing.assert_allclose(ours_of_theirs, scores, atol=1e-4)
    assert all(text[-1] == end for text in texts)
    assert 0 < sum(free) < len(texts)


def _their_beams(model: Any, **options: Any) -> tuple[list[list[int]], np.ndarray]:
    """Returns the texts that transformers finds, `COUNT` of each source, the best first, and their scores."""
    torch = pytest.importorskip("torch")
    found = model.generate(
        torch.tensor(PADDED),
        attention_mask=torch.tensor(np.arange(PADDED.shape[1]) < LENGTHS[:, None]).long(),
        max_new_tokens=MOST,
        num_beams=COUNT,
        num_return_sequences=COUNT,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return [_until_the_end(row) for row in found.sequences.numpy()[:, 1:]], found.sequences_scores.numpy()


def _until_the_end(tokens: np.ndarray) -> list[int]:
    """Returns the tokens of a row up to its end mark, which is one of them.

    Behind it transformers has more end marks where the padding is token 0, and we have the padding.
    """
    row, end = tokens.tolist(), MARKS["eos"]
    return row[: row.index(end) + 1] if end in row else row


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
