"""Batches as a function of seed and step."""

import jax
import numpy as np
import pytest

from attnjax.data.pipeline import Batches

pytestmark = pytest.mark.versions

ARRAYS = {"x": np.arange(100), "y": np.arange(200).reshape(100, 2)}


def permutation(seed, epoch, size=100):
    batches = Batches({"x": np.arange(size)}, batch_size=10, seed=seed)
    return np.concatenate([batches[epoch * size // 10 + i]["x"] for i in range(size // 10)]).tolist()


def test_an_epoch_holds_every_example_once_and_epochs_differ():
    assert sorted(permutation(0, 0)) == sorted(permutation(0, 3)) == list(range(100))
    assert permutation(0, 0) != permutation(0, 1)


@pytest.mark.parametrize("size", [65536, 65537, 65538, 262145])
def test_an_epoch_of_any_size_holds_every_example_once(size):
    batches = Batches({"x": np.arange(size)}, batch_size=2 * size, seed=3)
    epochs = batches[1]["x"].reshape(2, size)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(size), (2, 1)))
    assert (epochs[0] != epochs[1]).any()


def test_arrays_stay_aligned():
    batch = Batches(ARRAYS, batch_size=16, seed=0)[3]
    np.testing.assert_array_equal(batch["y"][:, 0], 2 * batch["x"])
    assert batch["y"].shape == (16, 2)
    assert Batches(ARRAYS, batch_size=16, seed=0).row_counts == {16}


def test_a_batch_depends_on_seed_and_step_alone():
    one, two = Batches(ARRAYS, 16, seed=5), Batches(ARRAYS, 16, seed=5)
    for step in (7, 0, 1000):
        two[step + 1]
        np.testing.assert_array_equal(one[step]["x"], two[step]["x"])
    assert one[0]["x"].tolist() != Batches(ARRAYS, 16, seed=6)[0]["x"].tolist()


def test_neighbouring_seeds_share_no_permutation():
    # Were the seed of epoch e seed + e, epoch 1 of seed 0 would be epoch 0 of seed 1.
    ours = [permutation(0, epoch) for epoch in range(4)]
    assert not any(permutation(1, epoch) in ours for epoch in range(4))


def test_hosts_take_disjoint_slices_of_one_batch(monkeypatch):
    whole = Batches(ARRAYS, 8, seed=0)[5]["x"].tolist()
    parts = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for host in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        parts += Batches(ARRAYS, 8, seed=0)[5]["x"].tolist()
    assert parts == whole


def test_batches_larger_than_the_data_span_epochs():
    batch = Batches({"x": np.arange(3)}, batch_size=7, seed=0)[0]["x"].tolist()
    assert sorted(batch[:3]) == sorted(batch[3:6]) == [0, 1, 2]


def test_bad_arguments_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="one equal, positive length"):
        Batches({"x": np.arange(3), "y": np.arange(4)}, 2, 0)
    with pytest.raises(ValueError, match="one equal, positive length"):
        Batches({"x": np.arange(0)}, 2, 0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        Batches(ARRAYS, 0, 0)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(ValueError, match="multiple of 3 hosts"):
        Batches(ARRAYS, 8, 0)
