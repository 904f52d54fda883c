"""Where a token is: sinusoids, rotations, ALiBi slopes and T5 buckets, as functions of integer positions.

Learned positions are parameters and live in `attnjax.nn`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.ops.core.ranks import of_rank


def sinusoidal(
    positions: Int[ArrayLike, "*T"], dim: int, *, dtype: DTypeLike = jnp.float32
) -> Float[Array, "*T dim"]:
    """Sinusoidal position vectors: entry 2i is sin(p / 10000^(2i/dim)), entry 2i+1 the cosine.

    Args:
      positions: integers of any shape, in tokens; negative ones are allowed.
      dim: size of a vector, even.
      dtype: of the result; angles are float64 for float64 and good to float32's last bits otherwise.

    Raises:
      TypeError: positions are not integers.
      ValueError: dim is odd or not positive.

    Source: Vaswani et al., Attention Is All You Need, 2017, section 3.5.

    >>> print(np.asarray(sinusoidal(jnp.arange(2), 4)).round(3))
    [[0.    1.    0.    1.   ]
     [0.841 0.54  0.01  1.   ]]
    """
    positions = _integers("positions", positions)
    if dim < 2 or dim % 2:
        raise ValueError(f"dim is {dim}: expected a positive even number")
    angles = _angles(positions, _frequencies(dim, 10000.0), jnp.dtype(dtype))
    pairs = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return pairs.reshape(*positions.shape, dim).astype(dtype)


def rope(
    x: Float[ArrayLike, "*B T N H"],
    positions: Int[ArrayLike, "*#B T"],
    *,
    base: float = 10000.0,
    fraction: float = 1.0,
    interleaved: bool = False,
) -> Float[Array, "*B T N H"]:
    """Rotary positions: rotates R = fraction·H entries of each head, pair i by the angle p·base^(-2i/R).

    A pair is (x_i, x_{i+R/2}) in the halves layout (GPT-NeoX, Llama in transformers) and (x_{2i}, x_{2i+1})
    when interleaved (the paper, GPT-J, Meta's Llama): (a, b) -> (a·cos - b·sin, a·sin + b·cos). Entries from
    R on pass through. The product of a rotated query and key depends only on the distance of their positions.

    Args:
      x: queries or keys.
      positions: integers [T], or with leading axes that broadcast to those of x.
      base: of the wavelengths, which run from 2π to 2π·base tokens.
      fraction: share of the head that is rotated, in (0, 1]; fraction·H must be even.

    Returns:
      The rotated x in its dtype; angles and rotation are float64 for float64 and float32 otherwise.

    Raises:
      TypeError: positions are not integers, or x is not floating.
      ValueError: shapes, base or fraction do not fit.

    Source: Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021.

    >>> x = jnp.ones((2, 1, 2))
    >>> print(np.asarray(rope(x, jnp.array([0, 1])))[:, 0].round(3))
    [[ 1.     1.   ]
     [-0.301  1.382]]
    """
    x, positions = jnp.asarray(x), _integers("positions", positions)
    rotated = _check_rope(x, positions, base, fraction)
    compute = jnp.promote_types(x.dtype, jnp.float32)
    angles = _angles(positions, _frequencies(rotated, base), compute)[..., None, :]
    angles = of_rank(angles, x.ndim)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    head, rest = x[..., :rotated].astype(compute), x[..., rotated:]
    if interleaved:
        a, b = head[..., 0::2], head[..., 1::2]
        turned = jnp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(head.shape)
    else:
        a, b = jnp.split(head, 2, axis=-1)
        turned = jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return jnp.concatenate([turned.astype(x.dtype), rest], axis=-1)


def alibi_slopes(heads: int) -> Float[Array, " heads"]:
    """ALiBi's slope per head: 2^(-8i/heads) for i = 1..heads when heads is a power of two.

    Otherwise the slopes of the power of two m below, then every other slope of 2m, as in the authors' code.

    Raises:
      ValueError: heads is not positive.

    Source: Press et al., Train Short, Test Long: Attention with Linear Biases, 2021.

    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> alibi_slopes(3).tolist()
    [0.0625, 0.00390625, 0.25]
    """
    if heads < 1:
        raise ValueError(f"heads is {heads}: expected a positive number")
    below = 1 << (heads.bit_length() - 1)
    first, between = _geometric_slopes(below), _geometric_slopes(2 * below)[0::2]
    return jnp.asarray(np.concatenate([first, between[: heads - below]]), jnp.float32)


def relative_buckets(
    q_index: Int[ArrayLike, "*#T"],
    k_index: Int[ArrayLike, "*#T"],
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Int[Array, "*T"]:
    """T5's bucket of the distance between query and key: exact when near, logarithmic when far.

    With n the distance |q - k| (one-directional: max(q - k, 0)), L buckets on a side and e = L // 2:
    n if n < e, else min(L - 1, e + floor((L - e)·log(n/e) / log(max_distance/e))). Bidirectional halves
    num_buckets into L for keys at or before the query and L for keys after it. The floor is exact.

    Args:
      q_index, k_index: integer positions in tokens that broadcast against each other.
      num_buckets: of the bias table; even and at least 4 when bidirectional, at least 2 otherwise.
      max_distance: in tokens, from which on all distances share the last bucket.

    Raises:
      TypeError: an index is not integer.
      ValueError: num_buckets or max_distance do not fit.

    Source: Raffel et al., Exploring the Limits of Transfer Learning with T5, 2020.

    >>> relative_buckets(3, jnp.arange(6), num_buckets=8, max_distance=16)
    Array([2, 2, 1, 0, 5, 6], dtype=int32)
    """
    q_index, k_index = _integers("q_index", q_index), _integers("k_index", k_index)
    side, exact = _check_buckets(num_buckets, max_distance, bidirectional)
    distance = q_index - k_index
    after = jnp.int32(0)
    if bidirectional:
        after = jnp.where(distance < 0, side, 0).astype(jnp.int32)
        distance = jnp.abs(distance)
    bucket = jnp.clip(distance, 0, exact).astype(jnp.int32)
    for start in _logarithmic_starts(side, exact, max_distance):
        bucket += (distance >= start).astype(jnp.int32)
    return after + bucket


def _integers(name: str, value: ArrayLike) -> Array:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} has dtype {array.dtype}: expected integers")
    return array.astype(jnp.int32)


def _frequencies(dim: int, base: float) -> np.ndarray:
    """base^(-2i/dim) in radians per token, i = 0..dim/2-1, in float64."""
    return np.power(float(base), -np.arange(0, dim, 2) / dim)


def _angles(positions: Array, frequencies: np.ndarray, dtype: np.dtype) -> Array:
    """positions·frequencies [..., i] in radians, up to whole turns when the dtype is not float64.

    A float32 product is off by 0.004 rad at position 100,000. So the turns are counted in units of 2^-32 with
    integers, whose overflow is a whole turn, and the tiny remainder of each frequency is added in float32.
    """
    positions = positions[..., None]
    frequencies = frequencies.reshape((1,) * (positions.ndim - 1) + (-1,))
    if dtype == jnp.float64:
        return positions.astype(dtype) * frequencies
    turns = frequencies / (2 * np.pi) % 1.0 * 2.0**32
    whole = np.floor(turns)
    rest = (turns - whole) * (2 * np.pi / 2.0**32)
    count = positions.astype(jnp.uint32) * jnp.asarray(whole, jnp.uint32)
    signed = jax.lax.bitcast_convert_type(count, jnp.int32).astype(jnp.float32)
    return signed * np.float32(2 * np.pi / 2.0**32) + positions.astype(jnp.float32) * rest.astype(np.float32)


def _geometric_slopes(heads: int) -> np.ndarray:
    return 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)


def _logarithmic_starts(side: int, exact: int, max_distance: int) -> list[int]:
    """The smallest n with (side - exact)·log(n/exact) / log(max_distance/exact) >= j, for j = 1, 2, …"""
    steps = side - exact
    starts, n = [], exact
    for j in range(1, steps):
        while n**steps * exact**j < max_distance**j * exact**steps:
            n += 1
        starts.append(n)
    return starts


def _check_rope(x: Array, positions: Array, base: float, fraction: float) -> int:
    """Raises on bad input; the number of entries to rotate."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x has dtype {x.dtype}: expected a floating type")
    if x.ndim < 3:
        raise ValueError(f"x is {list(x.shape)}: expected (*B, T, N, H)")
    tokens, lead = x.shape[:-2], positions.shape[:-1]
    fits = positions.ndim >= 1 and positions.shape[-1] == tokens[-1] and len(lead) <= len(tokens[:-1])
    if not fits or any(p not in (1, b) for p, b in zip(lead[::-1], tokens[-2::-1], strict=False)):
        raise ValueError(
            f"positions is {list(positions.shape)}: expected (T) or (*B, T) of x {list(x.shape)}"
        )
    if base <= 0:
        raise ValueError(f"base is {base}: expected a positive number")
    rotated = round(x.shape[-1] * fraction)
    if not 0 < fraction <= 1 or rotated < 2 or rotated % 2:
        raise ValueError(
            f"fraction is {fraction}: expected a number in (0, 1] that rotates a positive even number of"
            f" entries, not {rotated} of head size {x.shape[-1]}"
        )
    return rotated


def _check_buckets(num_buckets: int, max_distance: int, bidirectional: bool) -> tuple[int, int]:
    """Raises on bad input; the buckets on one side, and how many of them hold one distance each."""
    if num_buckets < (4 if bidirectional else 2) or (bidirectional and num_buckets % 2):
        expected = "an even number of at least 4" if bidirectional else "at least 2"
        raise ValueError(f"num_buckets is {num_buckets}: expected {expected} (bidirectional={bidirectional})")
    side = num_buckets // 2 if bidirectional else num_buckets
    exact = side // 2
    if max_distance <= exact:
        raise ValueError(f"max_distance is {max_distance}: expected more than {exact}, the exact buckets")
    return side, exact
