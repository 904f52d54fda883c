"""Packed batches: every molecule of a step whole and once, in one shape, whatever is split or resumed."""

from typing import Any

import jax
import numpy as np
import pytest

from attnjax.data.molecules.molecule import Molecule, padded
from attnjax.data.molecules.packed import PackedBatches
from attnjax.data.pipeline import Batches


def ring(size: int) -> Molecule:
    """A ring of carbon atoms with a charge on the first; a chain of one or two."""
    bonds = tuple((i, (i + 1) % size, "single", size > 2) for i in range(size if size > 2 else size - 1))
    return Molecule("C" * size, ("C",) * size, bonds, (2,) * size, (size, *[0] * (size - 1)))


RNG = np.random.default_rng(0)
MOLECULES = [ring(int(size)) for size in RNG.integers(1, 12, 50)]
ARRAYS = padded(MOLECULES) | {"values": np.arange(50.0, dtype=np.float32)}


def batches(size: int = 16, **options: Any) -> PackedBatches:
    return PackedBatches(ARRAYS, **{"batch_size": size, "seed": 3, "steps": 30} | options)


def molecules(batch: dict[str, np.ndarray]) -> dict[float, dict[str, Any]]:
    """By value what a batch holds of each molecule, its edges counted from its first atom."""
    found = {}
    for row, values in enumerate(batch["values"]):
        for number, value in enumerate(values.tolist(), start=1):
            (places,) = np.nonzero(batch["segments"][row] == number)
            edges = batch["edges"][row]
            own = np.isin(edges[1], places)
            assert (np.diff(places) == 1).all()
            assert (own == np.isin(edges[0], places)).all()
            found[value] = {
                "atoms": batch["atoms"][row, places].tolist(),
                "edges": (edges[:, own] - places[0]).tolist(),
                "bonds": batch["bonds"][row, own].tolist(),
            }
    return found


@pytest.mark.parametrize(("size", "rows"), [(16, 8), (64, 8), (12, 12), (20, 20), (26, 2), (7, 7)])
def test_a_step_has_the_molecules_of_the_plain_order_whole_and_once(size: int, rows: int) -> None:
    plain, own = Batches(ARRAYS, size, seed=3), batches(size)
    shapes = {name: array.shape for name, array in own[0].items()}
    assert shapes["values"] == (rows, size // rows)
    for step in (0, 1, 29):
        batch, given = own[step], plain[step]
        assert {name: array.shape for name, array in batch.items()} == shapes
        assert sorted(batch["values"].ravel()) == sorted(given["values"])
        found = molecules(batch)
        for place, value in enumerate(given["values"].tolist()):
            atoms, edges = given["lengths"][place], (given["edges"][place, 0] >= 0).sum()
            assert found[value] == {
                "atoms": given["atoms"][place, :atoms].tolist(),
                "edges": given["edges"][place, :, :edges].tolist(),
                "bonds": given["bonds"][place, :edges].tolist(),
            }
        # There is nothing else, and padding holds nothing.
        assert (batch["segments"] > 0).sum() == given["lengths"].sum()
        assert ((batch["edges"] >= 0).all(1) == batch["bonds"].any(-1)).all()
        assert not batch["atoms"][batch["segments"] == 0].any()
        assert (batch["segments"] > 0).sum() > (0.5 if size > rows else 0) * batch["segments"].size


def test_a_new_object_gives_the_same_arrays_at_a_step_that_is_asked_for_first() -> None:
    first, again = batches(), batches()
    for step in range(5):
        first[step]
    for name, array in first[7].items():
        np.testing.assert_array_equal(array, again[7][name])


def test_hosts_share_the_rows_of_one_batch_and_see_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = batches()[5], []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for host in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        parts.append(batches()[5])
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)
        assert parts[0][name].shape == parts[1][name].shape


def test_rows_divide_over_all_devices_and_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    assert batches(64)[0]["values"].shape == (8, 8)
    assert batches(64, accumulate=4)[0]["values"].shape == (32, 2)
    assert batches(96)[0]["values"].shape == (24, 4)


def test_a_step_past_the_last_one_loses_nothing() -> None:
    """Rows then have more room, and the first step has what it needs."""
    own, plain = batches(26, steps=1), Batches(ARRAYS, 26, seed=3)
    sizes = [own[step]["segments"].shape[1] for step in range(20)]
    assert sizes[0] == min(sizes) < max(sizes)
    for step in range(20):
        assert (own[step]["segments"] > 0).sum() == plain[step]["lengths"].sum()
