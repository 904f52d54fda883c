"""Comparisons with parameters of a layer, for projected queries and keys of one size H.

Where a comparison is not scaled, its parameters start such that scores do at the size of 1.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array

from attnjax.nn.axes import named
from attnjax.ops import comparisons
from attnjax.ops.comparisons import Comparison


class LearnedAdditive(nnx.Module):
    """Bahdanau's v·tanh(q + k) with a v of each head.

    Args:
      heads, head_dim: N and H.
      param_dtype: of v.
      rngs: draws v.

    References:
      Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2014,
      arXiv:1409.0473.
    """

    def __init__(
        self, *, heads: int, head_dim: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        v = _normal(rngs, (heads, head_dim), head_dim**-0.5, param_dtype)
        self.v = nnx.Param(v, **named("heads", "head_dim"))

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.additive(self.v[...])


class Concat(nnx.Module):
    """Luong's v·tanh(W [q; k]) with v and W of each head.

    Args:
      heads, kv_heads, head_dim: N, K and H.
      param_dtype: of the parameters.
      rngs: draws them.

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
      arXiv:1508.04025.
    """

    def __init__(
        self,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        def weight(count: int, name: str) -> nnx.Param[Array]:
            start = _normal(rngs, (count, head_dim, head_dim), (2 * head_dim) ** -0.5, param_dtype)
            return nnx.Param(start, **named(name, "head_dim", "width"))

        v = _normal(rngs, (heads, head_dim), head_dim**-0.5, param_dtype)
        self.v = nnx.Param(v, **named("heads", "width"))
        self.query_weight, self.key_weight = weight(heads, "heads"), weight(kv_heads, "kv_heads")

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.concat(self.v[...], self.query_weight[...], self.key_weight[...])


class General(nnx.Module):
    """Luong's qᵀ W k with a W of each head.

    Args:
      heads, head_dim: N and H.
      param_dtype: of W.
      rngs: draws W.

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
      arXiv:1508.04025.
    """

    def __init__(
        self, *, heads: int, head_dim: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        weight = _normal(rngs, (heads, head_dim, head_dim), 1 / head_dim, param_dtype)
        self.weight = nnx.Param(weight, **named("heads", "head_dim", "width"))

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.general(self.weight[...])


class LearnedBilinear(General):
    """The comparison qᵀ W k + b with W and b of each head, b from 0.

    Args:
      heads, head_dim: N and H.
      param_dtype: of the parameters.
      rngs: draws W.

    References:
      Kim et al., Bilinear Attention Networks, 2018, arXiv:1805.07932.
    """

    def __init__(
        self, *, heads: int, head_dim: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        super().__init__(heads=heads, head_dim=head_dim, param_dtype=param_dtype, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros((heads,), param_dtype), **named("heads"))

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.bilinear(self.weight[...], self.bias[...])


class LearnedLinearCombination(nnx.Module):
    """The comparison w·[q; k; q ⊙ k] + b with w and b of each head, b from 0.

    Args:
      heads, head_dim: N and H.
      param_dtype: of the parameters.
      rngs: draws w.

    References:
      Seo et al., Bidirectional Attention Flow for Machine Comprehension, 2016, arXiv:1611.01603.
    """

    def __init__(
        self, *, heads: int, head_dim: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        weight = _normal(rngs, (heads, 3 * head_dim), (3 * head_dim) ** -0.5, param_dtype)
        self.weight = nnx.Param(weight, **named("heads", "width"))
        self.bias = nnx.Param(jnp.zeros((heads,), param_dtype), **named("heads"))

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.linear_combination(self.weight[...], self.bias[...])


class LearnedCosine(nnx.Module):
    """The comparison cos(q, k)/τ with a learned log τ of each head.

    Args:
      temperature: where τ starts.
      heads: N.
      param_dtype: of log τ.
      rngs: not used.

    References:
      Liu et al., Swin Transformer V2: Scaling Up Capacity and Resolution, 2021, arXiv:2111.09883.
    """

    def __init__(
        self, temperature: float, *, heads: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        self.log_temperature = _logs(temperature, heads, param_dtype)

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.cosine(jnp.exp(self.log_temperature[...]))


class LearnedRbf(nnx.Module):
    """The comparison -γ·|q - k|² with a learned log γ of each head.

    Args:
      gamma: where γ starts; None: 1/√H.
      heads, head_dim: N and H.
      param_dtype: of log γ.
      rngs: not used.

    References:
      Tsai et al., Transformer Dissection: A Unified Understanding of Transformer's Attention via the Lens of
      Kernel, 2019, arXiv:1908.11775.
    """

    def __init__(
        self,
        gamma: float | None,
        *,
        heads: int,
        head_dim: int,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.log_gamma = _logs(head_dim**-0.5 if gamma is None else gamma, heads, param_dtype)

    def __call__(self) -> Comparison:
        """Returns the comparison."""
        return comparisons.rbf(jnp.exp(self.log_gamma[...]))


def _normal(rngs: nnx.Rngs, shape: tuple[int, ...], deviation: float, dtype: Any) -> Array:
    return deviation * jax.random.normal(rngs.params(), shape, dtype)


def _logs(start: float, heads: int, dtype: Any) -> nnx.Param[Array]:
    return nnx.Param(jnp.full((heads,), math.log(start), dtype), **named("heads"))
