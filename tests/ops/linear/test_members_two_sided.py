"""Both directions: what each member answers to the whole sequence, and which refuse."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops.linear.members.bidirectional import bidirectional
from attnjax.ops.linear.members.gla import gla
from tests.daily import covering, daily
from tests.ops.linear.member_cases import MEMBERS, Case, answer, both, call, draw

IDS = np.array([[3, 3, 3, 1, 1, 1, 1, 3, 3], [0] * 9])
LENGTHS = np.array([7, 9])

pytestmark = pytest.mark.usefixtures("x64")


def row_of(case: Case, row: int, length: int) -> Case:
    return case._replace(tokens={n: x[row : row + 1, :length] for n, x in case.tokens.items()})


def both_ways(name: str, case: Case, ids: np.ndarray) -> np.ndarray:
    """One row without padding, by the causal loops."""
    if MEMBERS[name].two_sided == "quotient":
        return answer(name, case, segment_ids=ids, two_sided=True)[0]
    back = case._replace(tokens={n: x[:, ::-1] for n, x in case.tokens.items()})
    total = answer(name, case, segment_ids=ids)[0] + answer(name, back, segment_ids=ids[:, ::-1])[0][:, ::-1]
    if MEMBERS[name].two_sided == "mean":
        return total / 2
    return total - answer(name, case, segment_ids=np.arange(ids.size)[None])[0]


TWO_SIDED = {name: member for name, member in MEMBERS.items() if member.two_sided}
# What `bidirectional` sees of a member: how it joins, and what it turns.
EVERY_DAY = covering(
    {
        name: {
            (member.two_sided, member.many_values),
            member.key,
            *(gate.per_token for gate in member.gates.values()),
        }
        for name, member in TWO_SIDED.items()
    }
)


@pytest.mark.parametrize("name", daily(TWO_SIDED, EVERY_DAY))
def test_both_directions_within_segments_and_lengths(name):
    case = draw(name)
    expected = np.zeros_like(answer(name, case)[0])
    for row, length in enumerate(LENGTHS):
        expected[row, :length] = both_ways(name, row_of(case, row, length), IDS[row : row + 1, :length])
    for x in case.tokens.values():
        x[0, LENGTHS[0] :] = np.nan
    out = call(name, case, functools.partial(both, name), segment_ids=IDS, lengths=LENGTHS)
    np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-10)


def test_retention_weighs_by_the_distance():
    case = draw("retention")
    q, k, v = (case.tokens[n] for n in ("query", "key", "value"))
    distance = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    gamma = 1 - 2.0 ** (-5 - np.arange(2))
    scores = np.einsum("btkgh,bskh->bkgts", q.reshape(2, 9, 2, 2, 3), k) / np.sqrt(3)
    weights = scores * gamma[:, None, None, None] ** distance
    expected = np.einsum("bkgts,bskv->btkgv", weights, v).reshape(2, 9, 4, 2)
    np.testing.assert_allclose(both("retention", q, k, v), expected, rtol=1e-10)


def test_gates_of_one_row_serve_all():
    case = draw("simple_gla")
    q, k, v, decay = (case.tokens[n] for n in ("query", "key", "value", "decay"))
    full = np.broadcast_to(decay[:1], decay.shape)
    out = both("simple_gla", q, k, v, decay=decay[:1])
    np.testing.assert_allclose(out, both("simple_gla", q, k, v, decay=full), rtol=1e-12)


@pytest.mark.parametrize("name", ["linear", "retention"])
@pytest.mark.parametrize("option", [{"return_state": True}, {"initial_state": jnp.zeros((1, 2, 3))}])
def test_no_states_in_both_directions(name: str, option: dict[str, Any]):
    with pytest.raises(ValueError, match=f"{next(iter(option))} is given, but both directions"):
        both(name, *[jnp.ones((3, 1, 2))] * 3, **option)


def test_another_join_is_an_error():
    with pytest.raises(ValueError, match="join is 'halves': expected 'sum', 'quotient' or 'mean'"):
        bidirectional(gla, *[jnp.ones((3, 1, 2))] * 3, join="halves")
