"""Gradients of the members: of the forms that are their own, through padding, and where gates close."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops.linear.members.performer import orthogonal_features, performer
from tests.daily import daily
from tests.ops.linear.member_cases import MEMBERS, OWN_FORM, Case, answer, draw

FORGETTING = [name for name, member in MEMBERS.items() if "decay" in member.gates or name == "hgrn2"]


def loss(name: str, case: Case, arrays: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    """Returns it, and beside it the member's output."""
    arrays = dict(arrays)
    q, k, v = (arrays.pop(n) for n in ("query", "key", "value"))
    out, state = MEMBERS[name].function(q, k, v, **arrays, **case.fixed, **options, return_state=True)
    # Every entry on its own: their plain sums have less to tell apart.
    leaves = [x for x in (out, *jax.tree.leaves(state)) if jnp.issubdtype(x.dtype, jnp.floating)]
    return sum((x * jnp.cos(jnp.arange(x.size).reshape(x.shape))).sum() for x in leaves), out


def gradient(name: str, case: Case, **options: Any) -> tuple[dict[str, Any], Any]:
    """Returns it, and beside it the member's output."""
    run = jax.jit(jax.grad(lambda arrays: loss(name, case, arrays, **options), has_aux=True))
    return run(case.tokens | case.parameters)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", OWN_FORM)
def test_chunks_have_the_gradients_of_the_loop(name):
    """And their answers: several chunks of each size, the last one filled up."""
    case = draw(name, length=37)
    options = {"segment_ids": np.tile(np.arange(37) // 15, (2, 1))}
    got, chunks = gradient(name, case, form="chunked", chunk_size=8, **options)
    expected, _ = gradient(name, case, form="recurrent", **options)
    np.testing.assert_allclose(chunks, answer(name, case, **options)[0], rtol=1e-10, atol=1e-10)
    for argument, x in expected.items():
        np.testing.assert_allclose(got[argument], x, rtol=1e-8, atol=1e-9, err_msg=argument)


@pytest.mark.usefixtures("x64")
def test_the_solution_of_mesa_has_its_derivative():
    case = draw("mesa")
    arrays = case.tokens | case.parameters
    rng = np.random.default_rng(1)
    direction = {n: rng.normal(size=x.shape) for n, x in arrays.items()}
    run = jax.jit(lambda arrays: loss("mesa", case, arrays)[0])
    ahead, behind = (run({n: x + side * 1e-5 * direction[n] for n, x in arrays.items()}) for side in (1, -1))
    slope = sum((g * direction[n]).sum() for n, g in gradient("mesa", case)[0].items())
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("name", daily(MEMBERS, [*OWN_FORM, "comba", "mamba2", "hgrn2"]))
def test_neither_nan_in_padding_nor_a_gate_that_closes_reaches_a_gradient(name):
    case, lengths = draw(name), np.array([6, 0])
    if name in FORGETTING:
        case.tokens["key" if name == "hgrn2" else "decay"][0, 3:5] = -np.inf
    for x in case.tokens.values():
        for row, length in enumerate(lengths):
            x[row, length:] = np.nan
    form = "chunked" if name in OWN_FORM else "recurrent"
    for argument, x in gradient(name, case, lengths=lengths, form=form)[0].items():
        assert np.isfinite(x).all(), argument


def test_random_features_come_near_the_softmax():
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.normal(size=(12, 1, 8)) / 2, jnp.float32) for _ in range(3))
    projection = orthogonal_features(jax.random.key(0), 4096, 8)
    scores = jnp.where(jnp.tri(12, dtype=bool), q[:, 0] @ k[:, 0].T / np.sqrt(8), -jnp.inf)
    expected = jax.nn.softmax(scores) @ v[:, 0]
    assert np.abs(jax.jit(performer)(q, k, v, projection=projection)[:, 0] - expected).max() < 0.1


def test_small_sums_of_performer_have_gradients():
    """The square of the sums below would be 0 in single precision."""
    rng = np.random.default_rng(0)
    projection = orthogonal_features(jax.random.key(0), 128, 64)
    query, key, value = (scale * rng.normal(size=(64, 1, 64)) for scale in (4, 4, 1))

    def loss(arrays: tuple[jax.Array, ...], dtype: Any) -> jax.Array:
        out = performer(*arrays, projection=projection.astype(dtype))
        return (out * jnp.cos(jnp.arange(out.size).reshape(out.shape))).sum()

    def gradients(dtype: Any) -> Any:
        arrays = tuple(jnp.asarray(x, dtype) for x in (query, key, value))
        return jax.jit(lambda arrays: jax.grad(loss)(arrays, dtype))(arrays)

    single = gradients(jnp.float32)
    with jax.enable_x64(True):
        double = gradients(jnp.float64)
    for got, expected in zip(single, double, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
