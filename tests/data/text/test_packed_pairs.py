"""Rows of several pairs: every pair once in an epoch, whole, with its own number; the step alone decides."""

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.noise_config import NoiseConfig
from attnjax.data.text.packed_pairs import PackedPairs, packed_rows
from attnjax.data.text.tokenizer import BOS, EOS
from tests.data.text.test_buckets import LENGTHS, store  # noqa: F401

WIDTH = 64


def made(store, **changes):  # noqa: F811
    return PackedPairs(store, WIDTH, **{"seed": 0, "batch_size": 5} | changes)


def test_each_pair_stands_whole_in_one_row(store):  # noqa: F811
    packed = made(store)
    rows = packed.chosen(np.arange(packed.rows))
    seen = []
    for source, of_source, target, of_target in zip(
        *(rows[n] for n in ("source", "source_lengths", "target", "target_segments")), strict=True
    ):
        for number in range(1, of_source.max() + 1):
            text, other = source[of_source == number].tolist(), target[of_target == number].tolist()
            size, its = LENGTHS[text[0] - 10]
            assert text == text[:1] * size
            assert other == [BOS, *text[:1] * its, EOS]
            seen.append(text[0] - 10)
        assert of_source.max() == of_target.max()
        for tokens, own in ((source, of_source), (target, of_target)):
            kept = np.count_nonzero(own)
            assert (np.diff(own[:kept]) >= 0).all()
            assert not own[kept:].any()
            assert not tokens[kept:].any()
    assert sorted(seen) == list(range(300))
    filled = np.count_nonzero(rows["target"]) / rows["target"].size
    assert filled > 0.85


def test_the_seed_and_the_step_decide_and_an_epoch_has_every_row(store):  # noqa: F811
    one, again, other = made(store), made(store), made(store, seed=1)
    for step in (0, 7, 123):
        for name, array in one[step].items():
            np.testing.assert_array_equal(array, again[step][name])
    assert any(one[step]["source"].tolist() != other[step]["source"].tolist() for step in range(3))
    firsts = np.concatenate([made(store, batch_size=1)[step]["source"][:, 0] for step in range(one.rows)])
    assert len(firsts) == one.rows
    assert len(np.unique(firsts)) == one.rows
    packed = made(store, batch_tokens=2048)
    assert packed[0]["source"].shape == (16, WIDTH)
    assert packed.row_counts == {16}


def test_rows_are_the_first_with_room():
    lengths = np.random.default_rng(1).integers(1, 9, (200, 2))
    found, filled = packed_rows(lengths, 12), {}
    for row, size in zip(found.tolist(), lengths, strict=True):
        filled[row] = filled.get(row, 0) + size
    assert (np.stack(list(filled.values())) <= 12).all()
    assert sorted(filled) == list(range(len(filled)))


def test_what_does_not_fit_is_named(store):  # noqa: F811
    with pytest.raises(InputError, match=r"data.packing is 16: the longest pair has \d+ tokens on a side"):
        PackedPairs(store, 16, seed=0, batch_size=2)
    for name, value in {"buckets": 2, "noise": NoiseConfig(tokendrop=1.0), "unigram_alpha": 0.2}.items():
        kind = {"tokenizer": "unigram"} if name == "unigram_alpha" else {}
        with pytest.raises(InputError, match=f"data.packing is 64: it comes with no data.{name}"):
            TranslationData(packing=64, **kind, **{name: value})
