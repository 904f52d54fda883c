"""Dropout as a value: a rate and a key that travel together, split by name where a model branches."""

import zlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

_LEVELS = 1 << 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dropout:
    """Inverted dropout: y = x·m / (1 - rate) with m ~ Bernoulli(1 - rate).

    Modules that take `dropout: Dropout | None` are deterministic for None.

    Attributes:
      rate: the share of entries that is dropped, in steps of 2⁻¹⁶; 0 gives x back exactly. It may be a traced
        scalar: another value then compiles nothing anew.
      key: draws m.

    Raises:
      ValueError: The rate is known, and not in [0, 1).

    References:
      Hinton et al., Improving Neural Networks by Preventing Co-Adaptation of Feature Detectors, 2012,
      arXiv:1207.0580.
      Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014.

    Example:
      >>> dropout = Dropout(0.5, jax.random.key(0))
      >>> sorted(set(dropout(jnp.ones(64)).tolist()))
      [0.0, 2.0]
      >>> bool((dropout.fold("attention")(jnp.ones(64)) == dropout.fold("mlp")(jnp.ones(64))).all())
      False
    """

    rate: float | Float[Array, ""]
    key: Key[Array, ""]

    def __post_init__(self) -> None:
        # Trees that are put together again hold anything here.
        known = isinstance(self.rate, int | float | np.generic | np.ndarray | jax.Array)
        if known and not isinstance(self.rate, jax.core.Tracer) and not _inside(self.rate):
            raise ValueError(f"dropout rate {self.rate}: expected a number in [0, 1)")

    def fold(self, branch: int | str) -> "Dropout":
        """Returns the same rate with the key of a branch: a layer's number or a part's name."""
        number = zlib.crc32(branch.encode()) if isinstance(branch, str) else branch
        return Dropout(self.rate, jax.random.fold_in(self.key, number))

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Returns x with a share `rate` of its entries set to 0 and the rest scaled up, in x's dtype."""
        dropped = jnp.round(jnp.asarray(self.rate, jnp.float32) * _LEVELS)
        # A rate just below 1 must not round to 1, where the scale is infinite.
        dropped = jnp.minimum(dropped, _LEVELS - 1)
        scale = _LEVELS / (_LEVELS - dropped)

        def drawn(key: Key[Array, ""], dropped: Array) -> Array:
            # Half the random bits of a float draw: on a CPU they are what dropout costs.
            return jax.random.bits(key, x.shape, jnp.uint16) >= dropped.astype(jnp.uint16)

        # Configs that differ in the rate share a program: that of a rate of 0 draws nothing, where a branch
        # is cheap. On an accelerator the host would have to read the rate.
        def drawn_if_needed(key: Key[Array, ""], dropped: Array) -> Array:
            return jax.lax.cond(dropped > 0, drawn, lambda *_: jnp.ones(x.shape, bool), key, dropped)

        kept = jax.lax.platform_dependent(self.key, dropped, cpu=drawn_if_needed, default=drawn)
        return jnp.where(kept, x * scale.astype(x.dtype), jnp.zeros((), x.dtype))


def _inside(rate: Any) -> bool:
    rate = np.asarray(rate)
    return bool(np.all((rate >= 0) & (rate < 1)))


def folded(dropout: Dropout | None, branch: int | str) -> Dropout | None:
    """Returns `dropout.fold(branch)`, or None where there is no dropout."""
    return None if dropout is None else dropout.fold(branch)
