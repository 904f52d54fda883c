"""Layers of flax that join dtypes, for those who forbid jax to do it (`jax_numpy_dtype_promotion`)."""

from typing import Any

import jax
from flax import nnx


class _Joining:
    """Lets the layer that it is mixed into join dtypes: float32 statistics or sums with what is narrower."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return super().__call__(*arguments, **options)  # type: ignore[misc]


class LayerNorm(_Joining, nnx.LayerNorm):
    """Flax's LayerNorm under any rule of joining dtypes."""


class RMSNorm(_Joining, nnx.RMSNorm):
    """Flax's RMSNorm under any rule of joining dtypes."""


class Linear(_Joining, nnx.Linear):
    """Flax's Linear under any rule of joining dtypes: its product may be wider than its bias."""
