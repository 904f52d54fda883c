"""Batches by lengths and corpora: shapes, how often each pair comes, and that the step alone decides."""

import re

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.buckets import BucketedBatches
from attnjax.data.text.config import TranslationData
from attnjax.data.text.rows import Rows
from attnjax.data.text.token_store import DiskStore, MemoryStore, TokenWriter
from attnjax.data.text.tokenizer import BOS, EOS

LENGTHS = np.random.default_rng(0).integers(1, 40, (300, 2)).astype(np.int32)
CORPORA = (np.arange(300) >= 240).astype(np.int16)


def rows():
    """Each text is its number, again and again."""
    sources = Rows(np.repeat(np.arange(300) + 10, LENGTHS[:, 0]).astype(np.int32), LENGTHS[:, 0])
    targets = Rows(np.repeat(np.arange(300) + 10, LENGTHS[:, 1]).astype(np.int32), LENGTHS[:, 1])
    return sources, targets.between(BOS, EOS)


@pytest.fixture(scope="module", params=["memory", "disk"])
def store(request, tmp_path_factory):
    sources, targets = rows()
    if request.param == "memory":
        arrays = {
            "source": sources.padded(40, 0),
            "source_lengths": sources.lengths,
            "target": targets.padded(44, 0),
        }
        return MemoryStore(arrays, CORPORA)
    folder = tmp_path_factory.mktemp("store")
    writer = TokenWriter(folder, (400, 70_000))
    for piece in np.array_split(np.arange(300), 3):
        writer.add(
            *(side.chosen(piece) for side in (sources, targets)), CORPORA[piece], bytes(8 * len(piece))
        )
    assert writer.close(distinct=False) == 0
    return DiskStore(folder)


def batches(store, **changes):
    asked = {"seed": 0, "count": 4, "batch_size": 8, "batch_tokens": None, "most": (40, 44)} | changes
    return BucketedBatches(store, **asked)


def numbers(batch):
    return batch["source"][:, 0] - 10


def test_a_batch_holds_whole_pairs_of_one_bucket(store):
    made = batches(store)
    for step in range(60):
        batch = made[step]
        own = numbers(batch)
        np.testing.assert_array_equal(batch["source_lengths"], LENGTHS[own, 0])
        for number, source, target in zip(own, batch["source"], batch["target"], strict=True):
            size, other = LENGTHS[number]
            assert source.tolist() == [number + 10] * size + [0] * (len(source) - size)
            rest = [0] * (len(target) - other - 2)
            assert target.tolist() == [BOS, *[number + 10] * other, EOS, *rest]
    shapes = {(made[step]["source"].shape, made[step]["target"].shape) for step in range(200)}
    assert len(shapes) == 4


def test_buckets_save_padding(store):
    def padding(count):
        made = batches(store, count=count)
        found = [made[step] for step in range(300)]
        return 1 - sum(np.count_nonzero(b["source"]) for b in found) / sum(b["source"].size for b in found)

    assert padding(8) < 0.75 * padding(1)


def test_tokens_of_a_batch_are_bounded(store):
    made = batches(store, batch_tokens=1000)
    for step in range(60):
        batch = made[step]
        cells = batch["source"].size + batch["target"].size
        assert len(batch["source"]) % 8 == 0
        assert 1000 - 8 * cells / len(batch["source"]) < cells <= 1000
    small = batches(store, batch_tokens=400)
    assert small.row_counts == {len(small[step]["source"]) for step in range(60)}
    assert any(rows < 8 for rows in small.row_counts)
    assert all(rows % 8 == 0 or rows in (1, 2, 4) for rows in small.row_counts)
    assert len(batches(store, batch_tokens=1)[0]["source"]) == 1


def test_all_pairs_of_a_bucket_and_corpus_come_before_any_comes_again(store):
    made = batches(store)
    seen = np.zeros(300, int)
    for step in range(400):
        np.add.at(seen, numbers(made[step]), 1)
        for bucket in made.buckets:
            for members in bucket.members:
                assert np.ptp(seen[members]) <= 1
    assert seen.min() >= 9  # 3200 draws of 300 pairs.
    assert seen.max() <= 13


@pytest.mark.parametrize("weights", [None, (1.0, 1.0), (1.0, 9.0)])
def test_corpora_have_their_weights(store, weights):
    made = batches(store, weights=weights, chunk=5)
    steps = 5 * sum(bucket.groups for bucket in made.buckets)
    drawn = np.concatenate([numbers(made[step]) for step in range(steps)])
    expected = {None: 0.2, (1.0, 1.0): 0.5, (1.0, 9.0): 0.9}[weights]
    assert abs(CORPORA[drawn].mean() - expected) < 0.02


def test_the_seed_and_the_step_decide_and_nothing_before(store):
    one, again, other = batches(store), batches(store), batches(store, seed=1)
    for step in (0, 7, 123, 1000):
        for name, array in one[step].items():
            np.testing.assert_array_equal(array, again[step][name])
    assert any(numbers(one[step]).tolist() != numbers(other[step]).tolist() for step in range(5))
    rounds = sum(bucket.groups for bucket in one.buckets)
    assert [one[i]["source"].shape for i in range(rounds)] != [
        one[rounds + i]["source"].shape for i in range(rounds)
    ]


def test_steps_that_are_dispatched_together_share_a_shape(store):
    made = batches(store, chunk=5)
    shapes = [made[step]["source"].shape for step in range(100)]
    assert all(len(set(shapes[i : i + 5])) == 1 for i in range(0, 100, 5))
    assert len(set(shapes)) == 4
    assert len({tuple(numbers(made[step])) for step in range(100)}) == 100


def test_arrays_are_wider_where_texts_are_cut_anew(store):
    plain, roomy = batches(store), batches(store, room=1.5)
    for one, other in zip(plain.buckets, roomy.buckets, strict=True):
        assert all(
            b >= min(1.5 * a - 6, most) for a, b, most in zip(one.widths, other.widths, (40, 44), strict=True)
        )
        assert other.widths <= (40, 44)


def test_of_pairs_with_one_key_the_first_is_kept(tmp_path):
    sources, targets = (side.chosen(np.arange(5)) for side in rows())
    writer = TokenWriter(tmp_path, (400, 400))
    keys = np.array([9, 3, 9, 4, 3], np.uint64).tobytes()
    writer.add(sources, targets, CORPORA[:5], keys)
    assert writer.close(distinct=True) == 2
    store = DiskStore(tmp_path)
    np.testing.assert_array_equal(store.source_lengths, LENGTHS[[0, 1, 3], 0])
    assert store.rows(np.array([2, 0]))[0].lists() == [[13] * LENGTHS[3, 0], [10] * LENGTHS[0, 0]]
    assert (tmp_path / "source.bin").stat().st_size == 2 * LENGTHS[:5, 0].sum()  # 2 bytes a token.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"on_disk": True}, "data.on_disk needs data.train"),
        ({"train": "f", "buckets": 0}, "data.buckets is 0: it must be at least 1"),
        ({"train": "f", "batch_tokens": 0}, "data.batch_tokens is 0"),
        ({"train": "f", "weights": (1.0, 2.0)}, "data.weights has 2 values: expected one for each corpus, 1"),
        ({"train": "f", "weights": (0.0,)}, "data.weights is (0.0,): expected numbers above 0"),
    ],
)
def test_settings_that_make_no_batches_are_named(fields, message):
    with pytest.raises(InputError, match=re.escape(message)):
        TranslationData(**fields)
