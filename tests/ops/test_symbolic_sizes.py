"""`jax.export` with symbols for the batch and the lengths: exported once, right for any numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

import attnjax as aj
from attnjax import nn
from tests.contracts.attention_cases import close
from tests.daily import daily
from tests.ops.linear.member_cases import A_FEW, MEMBERS, call, draw

pytestmark = pytest.mark.versions

N, H = 2, 4
LAYER = nn.Attention(N * H, N, rope="halves", rngs=nnx.Rngs(0))


def attend(q, ids, lengths, **options):
    """Everything at once, for one compilation."""
    mask = (
        (aj.causal() | aj.prefix(2) | aj.global_tokens([3]))
        & aj.sliding_window(9, 4)
        & aj.segments(ids)
        & aj.lengths(lengths, lengths)
        & aj.predicate(lambda b, h, i, j: ids[b, i] + j != 3)
    )
    score = [
        aj.alibi(jnp.array([0.5, 0.25])),
        aj.relative_bias(jnp.cos(jnp.arange(16.0)).reshape(8, N)),
        aj.score_fn(lambda s, b, h, i, j: s * jnp.where(ids[b, j] > 0, 0.5, 1.0)),
        aj.forget_gate(-jnp.abs(q[..., 0])),
        aj.softcap(3.0),
    ]
    return aj.attention(q, q, q, mask=mask, score=score, bias=ids[:, None, None] / 9.0, **options)


def gradient(q, ids, lengths):
    out, pull = jax.vjp(lambda q: attend(q, ids, lengths), q)
    return out, pull(jnp.cos(out))


def normalisers(q, ids, lengths):
    mask = aj.causal() & aj.lengths(key=lengths)
    some = (aj.softmax(jnp.ones(N)), aj.sigmoid(-1.0), aj.sparsemax(), aj.entmax(1.5))
    return [aj.attention(q, q, q, mask=mask, normalizer=n) for n in some]


def layer(q, ids, lengths):
    x = q.reshape(*q.shape[:2], N * H)
    return LAYER(x, mask=aj.causal() & aj.segments(ids)).out


def recurrences(q, ids, lengths):
    options = {"segment_ids": ids, "lengths": lengths}
    decay = -jnp.abs(q)
    return [
        aj.linear_attention(q, q, q, decay=decay, **options),
        aj.linear_attention(q, q, q, decay=decay[..., 0], form="recurrent", **options),
        aj.linear_attention(q, q / 9, q, erase=q / 9, return_state=True),
    ]


def inputs(batch, length, seed=0):
    rng = np.random.default_rng(seed)
    return (
        jnp.asarray(rng.normal(size=(batch, length, N, H)), jnp.float32),
        jnp.asarray(np.sort(rng.integers(0, 3, (batch, length))), jnp.int32),
        jnp.asarray(rng.integers(1, length + 1, batch), jnp.int32),
    )


def exported(fn, shape):
    batch, length = export.symbolic_shape(shape)
    like = (
        jax.ShapeDtypeStruct(s, t)
        for s, t in (
            ((batch, length, N, H), jnp.float32),
            ((batch, length), jnp.int32),
            ((batch,), jnp.int32),
        )
    )
    return export.export(jax.jit(fn))(*like)


@pytest.mark.parametrize(
    ("fn", "sizes"),
    [
        (layer, ((1, 1), (3, 35))),
        *((fn, ((3, 35),)) for fn in (gradient, normalisers, recurrences)),
        *(pytest.param(fn, ((1, 1),), marks=pytest.mark.slow) for fn in (gradient, normalisers, recurrences)),
    ],
)
def test_one_program_answers_for_every_batch_and_length(fn, sizes):
    program = exported(fn, "b, t")
    for batch, length in sizes:
        args = inputs(batch, length)
        jax.tree.map(lambda a, b: close(a, b, 2e-5), program.call(*args), jax.jit(fn)(*args))


def test_blocks_take_a_symbol_for_the_batch():
    program = exported(lambda *args: attend(*args, implementation="blockwise"), "b, 12")
    args = inputs(3, 12)
    close(program.call(*args), jax.jit(attend)(*args), 2e-5)


@pytest.mark.parametrize(
    ("shape", "engine"),
    [("b, 15", "reference"), ("b, 64", "reference"), ("b, 1024", "blockwise"), ("2, t", "reference")],
)
def test_what_cannot_be_decided_falls_to_the_engine_that_can(shape, engine):
    found = []

    def call(q, ids, lengths):
        found.append(aj.plan_attention(q, q, q).engine)
        return aj.attention(q, q, q)

    exported(call, shape)
    assert set(found) == {engine}


@pytest.mark.parametrize("name", daily(MEMBERS, A_FEW))
def test_every_member_takes_symbols(name):
    case = jax.tree.map(jnp.float32, draw(name)._replace(fixed={}))
    batch, length = export.symbolic_shape("b, t")
    tokens = {n: jax.ShapeDtypeStruct((batch, length, *x.shape[2:]), x.dtype) for n, x in case.tokens.items()}
    case = case._replace(fixed=draw(name).fixed)
    assert jax.eval_shape(lambda x: call(name, case._replace(tokens=x)), tokens).shape[:2] == (batch, length)


def test_blocks_refuse_a_symbol_for_a_length():
    with pytest.raises(ValueError, match="T = t and S = t are not both numbers"):
        exported(lambda *args: attend(*args, implementation="blockwise"), "b, t")


def test_random_blocks_say_why_they_refuse_a_symbol_for_a_length():
    mask = aj.random_blocks(jax.random.key(0), 2, 1)
    with pytest.raises(ValueError, match="T=t and S=t: expected numbers, since how many blocks"):
        exported(lambda q, *_: aj.attention(q, q, q, mask=mask), "b, t")
