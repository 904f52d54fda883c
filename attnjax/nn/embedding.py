"""Embeddings of token ids with absolute positions, and the way back to logits."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.axes import named
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.explicit_axes import automatic, mesh_axes, spec
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.positions import sinusoidal


class Embedding(nnx.Module):
    """An embedding of tokens and their positions: s·E[token] + P[position].

    E starts as N(0, 1/D): with s = √D vectors have unit variance, and `attend` gives logits of unit variance.

    Args:
      vocab: the number of tokens.
      dim: D, the size of a vector.
      positions: the kind of P. "sinusoidal" has no parameters, "learned" is a table that starts as
        N(0, 0.02²); None: there is no P.
      max_length: the number of rows of the learned table; unused otherwise.
      scale: s; None: √D.
      dtype: of the vectors; None is the dtype of the parameters.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: The positions are of another kind, or learned without a max_length.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762 (section 3.4: the scale; 3.5: P).
      Press & Wolf, Using the Output Embedding to Improve Language Models, 2016, arXiv:1608.05859 (`attend`).

    Example:
      >>> embedding = Embedding(10, 4, positions="learned", max_length=8, rngs=nnx.Rngs(0))
      >>> embedding(jnp.zeros((2, 3), int)).shape
      (2, 3, 4)
    """

    def __init__(
        self,
        vocab: int,
        dim: int,
        *,
        positions: Literal["sinusoidal", "learned"] | None = None,
        max_length: int | None = None,
        scale: float | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if positions not in ("sinusoidal", "learned", None):
            raise ValueError(f"positions {positions!r}: expected 'sinusoidal', 'learned' or None")
        if positions == "learned" and max_length is None:
            raise ValueError("max_length None: learned positions need the number of rows of their table")
        self.positions = positions
        self.max_length = max_length if positions == "learned" else None
        self.dim = dim
        self.scale = dim**0.5 if scale is None else scale

        def table(rows: int, axis: str, spread: float) -> nnx.Embed:
            return nnx.Embed(
                rows,
                dim,
                embedding_init=nnx.initializers.normal(spread),
                embedding_metadata=named(axis, "embed"),
                dtype=dtype,
                param_dtype=param_dtype,
                rngs=rngs,
            )

        self.tokens = table(vocab, "vocab", dim**-0.5)
        self.table = None if self.max_length is None else table(self.max_length, "position", 0.02)

    def __call__(
        self, tokens: Int[Array, "*B T"], positions: Int[Array, "*#B T"] | None = None
    ) -> Float[Array, "*B T D"]:
        """Returns the vectors of tokens at integer positions.

        Args:
          tokens: their ids.
          positions: of the tokens; None: they count from 0.

        Raises:
          TypeError: The tokens are not integers.
          ValueError: The vocabulary lacks an id, or the learned table rows for so many tokens or for a
            position, where their values are known. Traced ones that it lacks give NaN.
        """
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"tokens have dtype {tokens.dtype}: expected integers")
        self.require_rows(tokens.shape[-1])
        _require_inside("tokens", tokens, self.tokens.num_embeddings, "vocabulary has {} ids")
        vectors = _rows(self.tokens, tokens)
        if self.scale != 1:
            vectors = vectors * self.scale
        if positions is None:
            positions = jnp.arange(tokens.shape[-1])
        if self.table is not None:
            _require_inside(
                "positions", positions, self.table.num_embeddings, "table of positions has {} rows"
            )
            return vectors + of_rank(_rows(self.table, positions), vectors.ndim)
        if self.positions == "sinusoidal":
            at = sinusoidal(positions, self.dim, dtype=vectors.dtype)
            return vectors + of_rank(at, vectors.ndim)
        return vectors

    def require_rows(self, length: int) -> None:
        """Raises ValueError for more tokens than a learned table has rows."""
        if self.max_length is not None and length > self.max_length:
            raise ValueError(f"{length} tokens: the table of positions has {self.max_length} rows")

    def attend(self, x: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        """Returns the logits x·Eᵀ over the tokens, in float32 or better."""
        table = self.tokens.embedding[...].astype(x.dtype)
        accumulate = accumulation_dtype(x)
        return jnp.einsum("...d,vd->...v", x, table, preferred_element_type=accumulate)


@automatic(lambda table, index: spec(*mesh_axes(index), *mesh_axes(table.embedding[...])[1:]))
def _rows(table: nnx.Embed, index: Int[Array, "*B"]) -> Float[Array, "*B D"]:
    return table(index)


def _require_inside(name: str, given: Array, rows: int, there_are: str) -> None:
    if isinstance(given, jax.core.Tracer) or given.size == 0:
        return
    if not getattr(given, "is_fully_addressable", True):  # Other processes hold some of it.
        return
    values = jax.device_get(given)  # In NumPy: what is known stays so while jit traces something else.
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= rows:
        raise ValueError(f"{name} from {low} to {high}: the {there_are.format(rows)}")
