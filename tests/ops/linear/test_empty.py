"""No tokens, or no rows: nothing comes out, and the state is what it was."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.daily import daily
from tests.ops.linear.member_cases import A_FEW, MEMBERS, both, draw

FORMS = ("recurrent", "chunked", "parallel")


@pytest.mark.parametrize(
    ("axis", "form", "per_channel"),
    daily(
        list(itertools.product("TB", FORMS, (False, True))),
        [*(("T", form, True) for form in FORMS), ("B", "chunked", False)],
    ),
)
def test_the_recurrence(axis: str, form: Any, per_channel: bool) -> None:
    rows, length = (0, 3) if axis == "B" else (2, 0)
    x, state = jnp.ones((rows, length, 2, 3)), jnp.ones((rows, 2, 3, 3))
    out, after = aj.linear_attention(
        jnp.ones((rows, length, 4, 3)),
        x,
        x,
        decay=-x if per_channel else -x[..., 0],
        erase=None if form == "parallel" else x,
        initial_state=state,
        segment_ids=jnp.zeros(length, int),
        lengths=jnp.zeros(rows, int),
        form=form,
        return_state=True,
    )
    assert out.shape == (rows, length, 4, 3)
    np.testing.assert_array_equal(after, state)


@pytest.mark.parametrize(("axis", "padded"), daily([("T", False), ("T", True), ("B", True)], [("T", True)]))
@pytest.mark.parametrize("name", daily(MEMBERS, A_FEW))
def test_a_member(name: str, axis: str, padded: bool) -> None:
    case, member = draw(name), MEMBERS[name]
    rows, length = (0, 9) if axis == "B" else (2, 0)
    arguments = {n: jnp.asarray(x[:rows, :length], jnp.float32) for n, x in case.tokens.items()}
    query, key, value = (arguments.pop(n) for n in ("query", "key", "value"))
    arguments |= {n: jnp.asarray(x, jnp.float32) for n, x in case.parameters.items()}

    def run(state: Any) -> Any:
        given = {"segment_ids": jnp.zeros(length, int), "lengths": jnp.zeros(rows, int) if padded else None}
        given |= {"initial_state": state, "return_state": True}
        return member.function(query, key, value, **arguments, **case.fixed, **given)

    _, state = jax.eval_shape(run, None)
    state = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), state)
    out, after = jax.jit(run)(state)
    assert out.shape == (rows, length, 4, 2)
    if member.two_sided:
        out = jax.jit(lambda: both(name, query, key, value, **arguments, **case.fixed))()
        assert out.shape == (rows, length, 4, 2)
    jax.tree.map(np.testing.assert_array_equal, after, state)
