"""Every member of the family against the loop of its paper: forms, padding, segments, split sequences."""

from typing import Any

import jax
import numpy as np
import pytest

from attnjax.ops.linear.members.catalogue import MEMBERS
from tests.ops.linear.member_cases import Case, answer, draw

IDS = np.array([[3, 3, 3, 1, 1, 1, 1, 3, 3], [0, 0, 1, 2, 2, 2, 2, 2, 2]])
LENGTHS = np.array([6, 9])
NO_ERASE = [name for name, m in MEMBERS.items() if m.two_sided != "mean"]
FORMS = [(name, form) for form in ("recurrent", "chunked") for name in MEMBERS]
FORMS += [(name, "parallel") for name in NO_ERASE]

pytestmark = pytest.mark.usefixtures("x64")


def call(name: str, case: Case, **options: Any) -> Any:
    """The member, compiled; the numbers among the options are static."""
    arrays = {n: x for n, x in options.items() if n in ("segment_ids", "lengths", "initial_state")}
    static = {n: x for n, x in options.items() if n not in arrays} | case.fixed

    def run(tokens: dict[str, Any], others: dict[str, Any]) -> Any:
        tokens = dict(tokens)
        q, k, v = (tokens.pop(n) for n in ("query", "key", "value"))
        return MEMBERS[name].function(q, k, v, **tokens, **others, **static)

    return jax.jit(run)(case.tokens, case.parameters | arrays)


def chunked(form: str) -> dict[str, Any]:
    return {"form": form} | ({"chunk_size": 4} if form == "chunked" else {})


def part(case: Case, span: slice) -> Case:
    return case._replace(tokens={n: x[:, span] for n, x in case.tokens.items()})


def assert_same(got: Any, expected: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), got, expected)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_form_equals_the_loop(name, form):
    case = draw(name)
    out, state = call(name, case, return_state=True, **chunked(form))
    expected, states = answer(name, case)
    assert_same(out, expected)
    for (row, head), last in states.items():
        if last is not None:
            parts = [x[row, head] if x.ndim > 1 else x[row] for x in jax.tree.leaves(state)]
            assert_same(parts, jax.tree.leaves(last))


@pytest.mark.parametrize("name", MEMBERS)
def test_segments_reset_and_padding_leaves_everything_as_it_was(name):
    case = draw(name)
    expected, states = answer(name, case, segment_ids=IDS, lengths=LENGTHS)
    for x in case.tokens.values():
        x[0, LENGTHS[0] :] = np.nan
    out, state = call(
        name, case, segment_ids=IDS, lengths=LENGTHS, return_state=True, form="chunked", chunk_size=4
    )
    assert_same(out, expected)
    for (row, head), last in states.items():
        if last is not None and "seen" not in MEMBERS[name].state:
            parts = [x[row, head] for x in jax.tree.leaves(state)]
            assert_same(parts, jax.tree.leaves(last))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_sequence_in_parts_is_one_pass(name):
    """A ragged prefill, a chunk of new tokens that goes over a border, then one token."""
    case, first = draw(name), np.array([5, 4])
    whole = call(name, case, segment_ids=IDS, return_state=True)
    rest = case._replace(tokens={n: np.stack([x[0, 5:8], x[1, 4:7]]) for n, x in case.tokens.items()})
    last = case._replace(tokens={n: np.stack([x[0, 8:9], x[1, 7:8]]) for n, x in case.tokens.items()})
    options = {"return_state": True}
    out, state = call(name, part(case, slice(0, 5)), segment_ids=IDS[:, :5], lengths=first, **options)
    assert_same(out[1, :4], whole[0][1, :4])
    ids = np.stack([IDS[0, 5:8], IDS[1, 4:7]])
    out, state = call(name, rest, segment_ids=ids, initial_state=state, form="chunked", **options)
    assert_same(out[0], whole[0][0, 5:8])
    assert_same(out[1], whole[0][1, 4:7])
    out, state = call(name, last, initial_state=state, form="recurrent", **options)
    assert_same(out[:, 0], np.stack([whole[0][0, 8], whole[0][1, 7]]))
    assert_same(jax.tree.map(lambda x: x[0], state), jax.tree.map(lambda x: x[0], whole[1]))
