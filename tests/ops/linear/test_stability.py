"""Long sequences, strong and no decay, repeated keys, half precision: nothing overflows, memory is linear."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.linear.triangular import unit_lower_inverse
from tests.daily import daily
from tests.ops.linear import member_cases

LONG = 65536
STRENGTHS = {"none": 0.0, "weak": 1e-4, "strong": 50.0, "everything": np.inf}


@functools.partial(jax.jit, static_argnums=(0, 1, 3, 4))
def inputs(length, dtype, strength, per_channel, size=4):
    keys = jax.random.split(jax.random.key(0), 5)
    query, key, value = (jax.random.normal(k, (1, length, 1, size)) for k in keys[:3])
    key = key / jnp.linalg.norm(key, axis=-1, keepdims=True)
    chance = jax.random.uniform(keys[3], key.shape if per_channel else key.shape[:-1])
    decay = jnp.where(chance > 0.3, -strength, jnp.where(strength > 0, -1e-3, 0.0))
    beta = jax.random.uniform(keys[4], (1, length, 1, 1))
    kept = jnp.exp(decay if per_channel else decay[..., None])
    args = {"query": query, "key": beta * key, "value": value, "erase": kept * key}
    return {name: x.astype(dtype) for name, x in args.items()} | {"decay": decay}


def value_and_gradients(args, **options):
    def loss(args):
        out = aj.linear_attention(**args, **options)
        return (out.astype(jnp.float32) ** 2).mean(), out

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(args)


@pytest.mark.parametrize(
    ("length", "dtype", "strength", "per_channel"),
    [
        pytest.param(LONG, jnp.bfloat16, "none", False, marks=pytest.mark.slow),
        pytest.param(LONG, jnp.float32, "strong", True, marks=pytest.mark.slow),
        pytest.param(LONG, jnp.bfloat16, "everything", True, marks=pytest.mark.slow),
        (LONG // 16, jnp.bfloat16, "everything", True),
    ],
)
def test_long_sequences_stay_finite(length, dtype, strength, per_channel):
    args = inputs(length, dtype, STRENGTHS[strength], per_channel)
    (_, out), gradients = value_and_gradients(args)
    assert out.dtype == dtype
    # A delta rule with unit keys and strengths in (0, 1) keeps its state in the span of the values.
    assert np.abs(np.asarray(out, np.float32)).max() < 1e3
    for name, gradient in gradients.items():
        assert np.isfinite(np.asarray(gradient, np.float32)).all(), name


@pytest.mark.parametrize("per_channel", daily([False, True], [True]), ids=["per head", "per channel"])
def test_chunks_are_as_exact_as_the_loop_in_single_precision(per_channel):
    forms = [jax.jit(functools.partial(aj.linear_attention, form=form)) for form in ("chunked", "recurrent")]
    for name, strength in STRENGTHS.items():
        args = inputs(512, jnp.float32, strength, per_channel, 8)
        chunked, expected = (form(**args) for form in forms)
        np.testing.assert_allclose(chunked, expected, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    "name",
    daily(["simple_gla", "kda", "log_linear", "mesa", "gated_slot"], ["kda", "log_linear"]),
)
def test_gates_of_zero_cost_the_others_no_digits(name):
    """Members with decays per head, per channel and erasing, and those that sum decays themselves."""
    case = member_cases.draw(name, length=16)
    forgets = np.random.default_rng(1).random(case.tokens["decay"].shape) < 0.5
    case.tokens["decay"] = np.where(forgets, -np.inf, case.tokens["decay"] / 10)
    single = case._replace(tokens={n: x.astype(np.float32) for n, x in case.tokens.items()})
    expected = member_cases.answer(name, case)[0]

    def loss(decay):
        out = member_cases.call(name, single._replace(tokens=single.tokens | {"decay": decay}))
        return jnp.sum(out**2), out

    gradient, out = jax.grad(loss, has_aux=True)(single.tokens["decay"])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=3e-6 * np.abs(expected).max())
    assert np.isfinite(gradient).all()


def test_one_key_for_all_tokens_is_no_trouble_for_the_inverse():
    """Powers of this matrix have entries up to 1e18: an inverse by powers has no digit right."""
    strict = np.tri(64, k=-1, dtype=np.float32)
    expected = np.eye(64) - np.eye(64, k=-1)
    np.testing.assert_allclose(jax.jit(unit_lower_inverse)(strict), expected, atol=1e-5)


@pytest.mark.optimised
def test_memory_of_the_gradients_is_linear_in_the_length():
    length = 32768
    args = jax.eval_shape(lambda: inputs(length, jnp.float32, 1.0, False, 16))

    def loss(args):
        return aj.linear_attention(**args, form="chunked").sum()

    memory = jax.jit(jax.grad(loss)).lower(args).compile().memory_analysis().temp_size_in_bytes
    # A few times the many tokens themselves: five inputs of 16 numbers each, and their gradients.
    assert memory / length < 4 * 10 * 16 * 4
