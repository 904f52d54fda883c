"""The sinusoids of the first Transformer."""

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.ops.positions.angles import angles, frequencies, integers


def sinusoidal(
    positions: Int[ArrayLike, "*T"], dim: int, *, halves: bool = False, dtype: DTypeLike = jnp.float32
) -> Float[Array, "*T dim"]:
    """Returns sinusoidal position vectors: entry 2i is sin(p / 10000^(2i/dim)), entry 2i+1 the cosine.

    Args:
      positions: integers of any shape, in tokens; negative ones are allowed.
      dim: size of a vector, even.
      halves: whether all sines stand before all cosines, as in Marian, and not each before its cosine.
      dtype: of the result; angles are float64 for float64 and good to float32's last bits otherwise.

    Returns:
      The vectors [*T, dim].

    Raises:
      TypeError: positions are not integers.
      ValueError: dim is odd or not positive.

    References:
      Vaswani et al., Attention Is All You Need, 2017, section 3.5 (arXiv:1706.03762).

    Example:
      >>> print(jnp.array_str(sinusoidal(jnp.arange(2), 4), precision=3, suppress_small=True))
      [[0.    1.    0.    1.   ]
       [0.841 0.54  0.01  1.   ]]
    """
    positions = integers("positions", positions)
    if dim < 2 or dim % 2:
        raise ValueError(f"dim is {dim}: expected a positive even number")
    turned = angles(positions, frequencies(dim, 10000.0), jnp.dtype(dtype))
    waves = jnp.sin(turned), jnp.cos(turned)
    pairs = jnp.concatenate(waves, axis=-1) if halves else jnp.stack(waves, axis=-1)
    return pairs.reshape(*positions.shape, dim).astype(dtype)
