"""Positions against loops that one can check by eye, in the papers' own terms."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops import positions as pos

FAR = 100_003
rope = jax.jit(pos.rope, static_argnames=("base", "fraction", "interleaved", "scaling"))


def literal_sinusoidal(position: int, dim: int) -> list[float]:
    out = []
    for i in range(dim // 2):
        angle = position / 10000 ** (2 * i / dim)
        out += [math.sin(angle), math.cos(angle)]
    return out


def literal_rope(x: np.ndarray, position: int, base: float, rotated: int, interleaved: bool) -> np.ndarray:
    """One head vector x [H] at one position."""
    out = x.copy()
    for i in range(rotated // 2):
        first, second = (2 * i, 2 * i + 1) if interleaved else (i, i + rotated // 2)
        angle = position * base ** (-2 * i / rotated)
        out[first] = x[first] * math.cos(angle) - x[second] * math.sin(angle)
        out[second] = x[first] * math.sin(angle) + x[second] * math.cos(angle)
    return out


def literal_bucket(query: int, key: int, num_buckets: int, max_distance: int, bidirectional: bool) -> int:
    """The bucket in the words of the T5 code, one pair at a time."""
    bucket, n = 0, query - key
    if bidirectional:
        num_buckets //= 2
        bucket += num_buckets if n < 0 else 0
        n = abs(n)
    else:
        n = max(n, 0)
    exact = num_buckets // 2
    if n < exact:
        return bucket + n
    # 1e-9 undoes the rounding of the logarithm where the quotient is a whole number.
    large = exact + int(math.log(n / exact) / math.log(max_distance / exact) * (num_buckets - exact) + 1e-9)
    return bucket + min(large, num_buckets - 1)


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 2e-6), ("float64", 1e-10)])
def test_sinusoidal_equals_the_formula_near_and_far(dtype, atol):
    at = [0, 1, 7, 1000, FAR, -FAR]
    with jax.enable_x64(dtype == "float64"):
        got = jax.jit(pos.sinusoidal, static_argnums=(1,), static_argnames="dtype")(
            jnp.array(at), 10, dtype=dtype
        )
    assert got.dtype == dtype
    np.testing.assert_allclose(got, [literal_sinusoidal(p, 10) for p in at], rtol=0, atol=atol)


def test_sinusoidal_keeps_the_shape_of_positions():
    got = pos.sinusoidal(jnp.array([[0, 1, 2], [5, 6, 7]]), 6)
    assert got.shape == (2, 3, 6)
    np.testing.assert_array_equal(got[1], pos.sinusoidal(jnp.array([5, 6, 7]), 6))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("base", "fraction"), [(10000.0, 1.0), (500.0, 0.5)])
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 5e-6), ("float64", 1e-10)])
def test_rope_equals_the_formula_near_and_far(interleaved, base, fraction, dtype, atol):
    at = [0, 1, 33, FAR, -5]
    x = 3 * np.random.default_rng(0).normal(size=(2, len(at), 3, 8))
    want = np.array(
        [
            [
                [literal_rope(h, p, base, int(8 * fraction), interleaved) for h in row]
                for p, row in zip(at, b, strict=True)
            ]
            for b in x
        ]
    )
    with jax.enable_x64(dtype == "float64"):
        got = rope(
            jnp.asarray(x, dtype), jnp.array(at), base=base, fraction=fraction, interleaved=interleaved
        )
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def test_rope_layouts_differ_by_a_permutation_of_the_head():
    x = jax.random.normal(jax.random.key(0), (4, 2, 6))
    at = jnp.arange(4) * 3
    halves_first = jnp.array([0, 2, 4, 1, 3, 5])
    np.testing.assert_array_equal(
        pos.rope(x, at, interleaved=True)[..., halves_first], pos.rope(x[..., halves_first], at)
    )
    assert not np.allclose(pos.rope(x, at, interleaved=True), pos.rope(x, at))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_rope_products_depend_only_on_the_distance(interleaved, fraction):
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        q, k = jnp.asarray(rng.normal(size=(2, 1, 1, 8)))

        def product(i, j):
            turn = lambda x, p: rope(x, jnp.array([p]), fraction=fraction, interleaved=interleaved)  # noqa: E731
            return float(jnp.sum(turn(q, i) * turn(k, j)))

        for i, j, shift in rng.integers(-500, 500, size=(20, 3)):
            assert product(i, j) == pytest.approx(product(i + shift, j + shift), abs=1e-11)
        assert product(0, 3) != pytest.approx(product(0, 4), abs=1e-3)


def test_rope_products_hold_their_distance_in_float32_a_hundred_thousand_tokens_away():
    q, k = jax.random.normal(jax.random.key(2), (2, 1, 1, 64))
    near = jnp.sum(rope(q, jnp.array([7])) * rope(k, jnp.array([0])))
    far = jnp.sum(rope(q, jnp.array([7 + FAR])) * rope(k, jnp.array([FAR])))
    assert float(jnp.abs(near - far)) < 3e-5


def test_rope_takes_positions_per_row_of_the_batch():
    x = jax.random.normal(jax.random.key(3), (2, 3, 1, 4))
    at = jnp.array([[0, 1, 2], [4, 5, 9]])
    rows = np.stack([rope(x[b], at[b]) for b in range(2)])
    near = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6)
    near(rope(x, at), rows)
    near(jax.jit(jax.vmap(pos.rope))(x, at), rows)
    near(rope(x, at[1:]), rope(x, at[1]))


def test_rope_rotates_bfloat16_in_float32():
    x = jax.random.normal(jax.random.key(4), (3, 2, 8), jnp.bfloat16)
    got = pos.rope(x, jnp.arange(3))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, pos.rope(x.astype(jnp.float32), jnp.arange(3)).astype(jnp.bfloat16))


def literal_scaled(frequency: float, index: int, scaling, rotated: int, base: float, length: int) -> float:
    """The frequency of pair `index` in the words of the papers, one pair at a time."""
    if isinstance(scaling, pos.LinearScaling):
        return frequency / scaling.factor
    if isinstance(scaling, pos.DynamicNTKScaling):
        longer = max(length, scaling.original_length) / scaling.original_length
        grown = base * (scaling.factor * longer - (scaling.factor - 1)) ** (rotated / (rotated - 2))
        return grown ** (-2 * index / rotated)
    turns = scaling.original_length * frequency / (2 * math.pi)
    if isinstance(scaling, pos.Llama3Scaling):
        low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
        if turns < low or turns > high:
            return frequency / scaling.factor if turns < low else frequency
        kept = (turns - low) / (high - low)
        return (1 - kept) * frequency / scaling.factor + kept * frequency
    # The pair that turns n times: base^(2i/R) = original_length / 2πn.
    first, last = (
        rotated * math.log(scaling.original_length / (2 * math.pi * n)) / (2 * math.log(base))
        for n in (scaling.beta_fast, scaling.beta_slow)
    )
    first, last = max(math.floor(first), 0), min(math.ceil(last), rotated - 1)
    slow = min(max((index - first) / (last - first), 0), 1)
    return (1 - slow) * frequency + slow * frequency / scaling.factor


SCALINGS = {
    "linear": pos.LinearScaling(4.0),
    "dynamic": pos.DynamicNTKScaling(2.0, 64),
    "dynamic, given length": pos.DynamicNTKScaling(2.0, 64, length=FAR + 1),
    "yarn": pos.YarnScaling(4.0, 64, attention_factor=1.25),
    "llama3": pos.Llama3Scaling(8.0, 64),
}


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 5e-6), ("float64", 1e-10)])
@pytest.mark.parametrize("name", SCALINGS)
def test_scaled_rope_equals_the_formula_near_and_far(name, dtype, atol):
    if name == "dynamic" and dtype == "float32":
        atol = 2e-2  # The length is known only when the program runs, and so are the frequencies.
    scaling, at, rotated, base = SCALINGS[name], [0, 1, 33, 63, 250, FAR], 12, 500.0
    factor = 1.25 if name == "yarn" else 1.0
    x = np.random.default_rng(0).normal(size=(1, len(at), 1, 16))
    want = x.copy()
    for t, p in enumerate(at):
        for i in range(rotated // 2):
            plain = base ** (-2 * i / rotated)
            angle = p * literal_scaled(plain, i, scaling, rotated, base, FAR + 1)
            a, b = x[0, t, 0, i], x[0, t, 0, i + rotated // 2]
            want[0, t, 0, i] = factor * (a * math.cos(angle) - b * math.sin(angle))
            want[0, t, 0, i + rotated // 2] = factor * (a * math.sin(angle) + b * math.cos(angle))
    with jax.enable_x64(dtype == "float64"):
        turn = jax.jit(lambda x, at: pos.rope(x, at, base=base, fraction=0.75, scaling=scaling))
        got = turn(jnp.asarray(x, dtype), jnp.array(at))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def test_dynamic_scaling_leaves_texts_of_the_original_length_alone_whatever_stands_beside_them():
    x = jax.random.normal(jax.random.key(5), (2, 4, 1, 8))
    at = jnp.array([[0, 1, 2, 3], [0, 1, 2, 300]])
    got, plain = rope(x, at, scaling=pos.DynamicNTKScaling(2.0, 64)), rope(x, at)
    np.testing.assert_allclose(got[0], plain[0], rtol=0, atol=1e-6)
    assert not np.allclose(got[1], plain[1], atol=1e-3)


def test_yarn_takes_its_attention_factor_from_the_paper():
    assert pos.YarnScaling(1.0, 64).amplitude == 1
    assert pos.YarnScaling(math.e, 64).amplitude == pytest.approx(1.1)


# From the paper: "for 8 heads the slopes are 1/2^1, 1/2^2, …, 1/2^8; for 16 heads 1/2^0.5, 1/2^1, …, 1/2^8".
@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (1, [8]),
        (2, [4, 8]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (16, np.arange(1, 17) / 2),
        # The authors' code (fairseq_with_alibi get_slopes): the 8 above, then every other one of 16.
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
        (6, [2, 4, 6, 8, 1, 3]),
    ],
)
def test_alibi_slopes_are_those_of_the_paper(heads, exponents):
    np.testing.assert_allclose(pos.alibi_slopes(heads), 2.0 ** -np.asarray(exponents, float), rtol=1e-6)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 16), (10, 37), (4, 100)])
def test_relative_buckets_equal_the_t5_formula(num_buckets, max_distance, bidirectional):
    kwargs = {"num_buckets": num_buckets, "max_distance": max_distance, "bidirectional": bidirectional}
    query, key = np.arange(0, 300, 7), np.arange(0, 300, 3)
    got = jax.jit(functools.partial(pos.relative_buckets, **kwargs))(query[:, None], key[None, :])
    want = [[literal_bucket(int(q), int(k), **kwargs) for k in key] for q in query]
    np.testing.assert_array_equal(got, want)
    assert got.dtype == jnp.int32
    assert int(got.min()) == 0
    assert int(got.max()) == num_buckets - 1


def test_relative_buckets_put_later_keys_in_bucket_zero_when_one_directional():
    got = pos.relative_buckets(2, jnp.arange(6), num_buckets=8, max_distance=16, bidirectional=False)
    assert got.tolist() == [2, 1, 0, 0, 0, 0]


X = jnp.zeros((2, 5, 3, 8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pos.sinusoidal(jnp.arange(3), 5), ValueError, "dim is 5"),
        (lambda: pos.sinusoidal(jnp.ones(3), 4), TypeError, "positions has dtype float32"),
        (lambda: pos.rope(X, jnp.arange(4)), ValueError, r"positions is \[4\].*\[2, 5, 3, 8\]"),
        (lambda: pos.rope(X, jnp.zeros((3, 5), int)), ValueError, r"positions is \[3, 5\]"),
        (lambda: pos.rope(X, jnp.int32(1)), ValueError, r"positions is \[\]"),
        (lambda: pos.rope(X[0, 0], jnp.arange(3)), ValueError, r"x is \[3, 8\]"),
        (lambda: pos.rope(X.astype(int), jnp.arange(5)), TypeError, "x has dtype int32"),
        (lambda: pos.rope(X, jnp.arange(5), base=0), ValueError, "base is 0"),
        (lambda: pos.rope(X, jnp.arange(5), fraction=0.4), ValueError, "fraction is 0.4.* not 3"),
        (lambda: pos.rope(X, jnp.arange(5), fraction=1.5), ValueError, "fraction is 1.5"),
        (lambda: pos.rope(X, jnp.arange(5), scaling=2.0), TypeError, "scaling is 2.0"),
        (lambda: pos.LinearScaling(0.5), ValueError, "factor is 0.5"),
        (lambda: pos.DynamicNTKScaling(2.0, 0), ValueError, "original_length is 0"),
        (lambda: pos.DynamicNTKScaling(2.0, 4, length=0), ValueError, "length is 0"),
        (
            lambda: pos.rope(X[..., :2], jnp.arange(5), scaling=pos.DynamicNTKScaling(2.0, 4)),
            ValueError,
            "rotates 2 entries",
        ),
        (lambda: pos.YarnScaling(2.0, 4, beta_fast=1.0), ValueError, "beta_slow is 1.0 and beta_fast 1.0"),
        (lambda: pos.YarnScaling(2.0, 4, attention_factor=0.0), ValueError, "attention_factor is 0.0"),
        (
            lambda: pos.rope(X, jnp.arange(5), base=1.0, scaling=pos.YarnScaling(2.0, 4)),
            ValueError,
            "base is 1",
        ),
        (lambda: pos.Llama3Scaling(2.0, 4, 4.0, 1.0), ValueError, "low_frequency_factor is 4.0"),
        (lambda: pos.alibi_slopes(0), ValueError, "heads is 0"),
        (lambda: pos.relative_buckets(0.5, 1), TypeError, "q_index has dtype float32"),
        (lambda: pos.relative_buckets(0, 1, num_buckets=7), ValueError, "num_buckets is 7"),
        (lambda: pos.relative_buckets(0, 1, max_distance=8), ValueError, "max_distance is 8"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
