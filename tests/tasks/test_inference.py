"""Inference in batches: hosts take turns with them, and all get all results."""

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from attnjax.tasks.inference import in_batches, in_turns


@pytest.mark.parametrize("hosts", [2, 3])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_hosts_take_turns_and_all_get_all(hosts, count, monkeypatch):
    items = list(range(10, 10 + count))
    asked, given = [], []

    def allgather(stacked, tiled):
        """Hosts come one after another here: the last one gets what all gave."""
        given.append(stacked)
        assert not tiled
        return jax.tree.map(lambda *own: np.stack([*own, *own[-1:] * (hosts - len(own))]), *given)

    def result(item):
        asked.append(item)
        return {"x": np.full(2, item)}

    monkeypatch.setattr(multihost_utils, "process_allgather", allgather)
    monkeypatch.setattr(jax, "process_count", lambda: hosts)
    for host in range(hosts):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        found = in_turns(result, items)
    assert [own["x"].tolist() for own in found] == [[item, item] for item in items]
    assert set(asked) == set(items)
    assert len(asked) == hosts * -(-count // hosts)  # Each as often, so that none waits for another in vain.


def test_rows_come_back_in_their_order_whatever_the_batches():
    arrays = {"x": np.arange(11, dtype=np.float32)}
    for rows in (None, 1, 4, 16):
        found = in_batches(lambda params, arrays: params * arrays["x"], 2.0, arrays, rows=rows)
        np.testing.assert_array_equal(found, 2 * arrays["x"])
