"""Derivatives of all forms equal those of the loop over tokens, in float64; transformations of jax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.linear.attention import linear_recurrence
from tests.daily import daily
from tests.ops.linear.linear_cases import DECAYS, LENGTHS, SEGMENTS, STATE, TERMS, assert_close, draw

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize(
    ("decay", "terms"),
    daily(
        [
            *(("per channel", terms) for terms in TERMS),
            *((decay, terms) for decay in DECAYS[:-1] for terms in ("nothing", "erased elsewhere")),
        ],
        [("per channel", "nothing"), ("per token", "erased elsewhere")],
    ),
)
def test_gradients_of_chunks_equal_those_of_the_loop(decay, terms):
    args = draw(decay, **TERMS[terms]) | {"initial_state": STATE}
    names = list(args)

    def gradients(**form):
        def loss(*values):
            call = dict(zip(names, values, strict=True))
            out, state = linear_recurrence(**call, segment_ids=SEGMENTS, lengths=LENGTHS, **form)
            return jnp.sin(out).sum() + jnp.cos(state).sum()

        return jax.jit(jax.grad(loss, argnums=range(len(names))))(*map(jnp.asarray, args.values()))

    expected = gradients(form="recurrent")
    assert_close(gradients(form="chunked", chunk_size=16), expected)
    if terms == "nothing":
        assert_close(gradients(form="parallel"), expected)


@pytest.mark.usefixtures("as_on_accelerators")
@pytest.mark.parametrize(
    ("decay", "terms"),
    daily(
        [*(("per channel", terms) for terms in TERMS), ("per token", "erased elsewhere")],
        [("per token", "erased elsewhere")],
    ),
)
def test_gradients_of_chunks_composed_in_pairs_equal_those_of_the_loop(decay, terms):
    test_gradients_of_chunks_equal_those_of_the_loop(decay, terms)


@pytest.mark.parametrize("form", ["recurrent", "chunked", "parallel"])
def test_nothing_in_padding_reaches_anything(form):
    args = {name: jnp.asarray(x) for name, x in draw("per channel", erase=form != "parallel").items()}
    padding = jnp.arange(37) >= jnp.asarray(LENGTHS)[:, None]
    dirty = {
        name: jnp.where(padding.reshape(2, 37, *[1] * (x.ndim - 2)), jnp.nan, x) for name, x in args.items()
    }

    def loss(args, scale):
        out, state = linear_recurrence(**args, scale=scale, lengths=LENGTHS, form=form)
        return (out**2).sum() + (state**2).sum(), (out, state)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, clean_out), clean = run(args, 0.5)
    (_, out), gradients = run(dirty, 0.5)
    jax.tree.map(np.testing.assert_array_equal, (out, gradients), (clean_out, clean))
    assert not np.asarray(out[0])[np.asarray(padding)].any()


def test_forward_derivatives_vmap_and_scan():
    args = draw("per token", erase=True)
    query = jnp.asarray(args.pop("query"))

    def attend(query, form):
        return aj.linear_attention(query, **args, form=form)

    tangents = [
        jax.jvp(lambda q, form=form: attend(q, form), (query,), (query,))[1]
        for form in ("recurrent", "chunked")
    ]
    assert_close(tangents[:1], tangents[1:])
    many = jax.vmap(lambda q: attend(q, "chunked"))(jnp.stack([query, 2 * query]))
    _, scanned = jax.lax.scan(lambda c, q: (c, attend(q, "chunked")), 0, jnp.stack([query, 2 * query]))
    assert_close((many, many[1]), (scanned, 2 * many[0]))
