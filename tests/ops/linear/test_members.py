"""Every member of the family against the loop of its paper: forms, padding, segments, split sequences."""

from typing import Any

import jax
import numpy as np
import pytest

from tests.daily import daily
from tests.ops.linear.member_cases import A_FEW, MEMBERS, OWN_FORM, answer, call, draw

# The first row has segments, the second none.
IDS = np.array([[3, 3, 3, 1, 1, 1, 1, 3, 3], [0] * 9])
NO_ERASE = [name for name, member in MEMBERS.items() if member.two_sided != "mean"]
# Each member is its loop every day: by all pairs at once, where nothing else is its own, or in chunks.
BY_PAIRS = [name for name in NO_ERASE if name in OWN_FORM or name not in A_FEW]
BY_CHUNKS = [name for name in MEMBERS if name in A_FEW or name not in NO_ERASE]

pytestmark = pytest.mark.usefixtures("x64")


def assert_same(got: Any, expected: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), got, expected)


def assert_states(name: str, state: Any, states: dict[tuple[int, int], Any]) -> None:
    """The member's state equals what the loops left, where they have one."""
    for (row, head), last in states.items():
        if last is not None:
            got = [x[row, head] if x.ndim > 1 else x[row] for x in jax.tree.leaves(state)]
            assert_same(got, jax.tree.leaves(last))


@pytest.mark.parametrize("name", daily(NO_ERASE, BY_PAIRS))
def test_all_pairs_at_once_equal_the_loop(name):
    case = draw(name)
    out, state = call(name, case, return_state=True, form="parallel")
    expected, states = answer(name, case)
    assert_same(out, expected)
    assert_states(name, state, states)


@pytest.mark.parametrize("name", daily(MEMBERS, BY_CHUNKS))
def test_chunks_and_then_token_by_token_are_the_loop_in_one_pass(name):
    """A prefill of 6 and of 5 tokens in chunks of 4, NaN behind, then three more in which a segment ends."""
    case = draw(name)
    expected, states = answer(name, case, segment_ids=IDS, lengths=[9, 8])
    first = case._replace(tokens={n: x[:, :6].copy() for n, x in case.tokens.items()})
    rest = case._replace(tokens={n: np.stack([x[0, 6:9], x[1, 5:8]]) for n, x in case.tokens.items()})
    for x in first.tokens.values():
        x[1, 5] = np.nan
    chunks = {"form": "chunked", "chunk_size": 4, "return_state": True}
    before, state = call(name, first, segment_ids=IDS[:, :6], lengths=np.array([6, 5]), **chunks)
    ids = np.stack([IDS[0, 6:9], IDS[1, 5:8]])
    steps = {"form": "recurrent", "return_state": True, "initial_state": state}
    after, state = call(name, rest, segment_ids=ids, **steps)
    assert_same(before[0], expected[0, :6])
    assert_same(before[1, :5], expected[1, :5])
    assert not np.asarray(before[1, 5]).any()
    assert_same(after, np.stack([expected[0, 6:9], expected[1, 5:8]]))
    assert_states(name, state, states)


@pytest.mark.parametrize(
    "name", daily(["gated_delta_net", "log_linear", "mesa", "gated_slot"], ["gated_delta_net", "log_linear"])
)
def test_inside_a_shard_map_that_checks_its_axes(name):
    """One member for each way to carry a state."""
    case, mesh = draw(name), jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec("rows")

    def run(tokens: Any) -> Any:
        return call(name, case._replace(tokens=tokens))

    sharded = jax.shard_map(run, mesh=mesh, in_specs=rows, out_specs=rows)
    assert_same(jax.jit(sharded)(case.tokens), run(case.tokens))
