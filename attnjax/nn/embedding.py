"""Embeddings of token ids with absolute positions and types, and the way back to logits."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.norm import Norm
from attnjax.nn.placed import rows_whole
from attnjax.nn.taps import Request, tapped
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.explicit_axes import automatic, mesh_axes, spec
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.positions import sinusoidal


class Embedding(nnx.Module):
    """An embedding of tokens, their positions and types: norm(s·E[token] + P[position] + S[type])·W.

    E starts as N(0, 1/W): with s = √W vectors have unit variance, and `attend` gives logits of unit variance.

    Args:
      vocab: the number of tokens; None: E is that of another embedding, which a call gives.
      dim: D, the size of a vector.
      positions: the kind of P. "sinusoidal" has no parameters, "sinusoidal_halves" is the same with all sines
        before all cosines, "learned" is a table that starts as N(0, 0.02²); None: there is no P.
      max_length: the number of positions of the learned table; unused otherwise.
      first_position: the row of the table in which position 0 stands, after rows that nobody reads.
      scale: s; None: √W.
      types: the number of types, whose table starts as N(0, 0.02²); 0: there is no S.
      width: W, the size of the rows of the tables, which a matrix maps to D; None: D, without a matrix.
      make_norm: makes the norm of W entries; None: there is none.
      dtype: of the vectors; None is the dtype of the parameters.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: The positions are of another kind, or learned without a max_length.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762 (section 3.4: the scale; 3.5: P).
      Devlin et al., BERT, 2018, arXiv:1810.04805 (types and norm).
      Lan et al., ALBERT, 2019, arXiv:1909.11942 (width).
      Press & Wolf, Using the Output Embedding to Improve Language Models, 2016, arXiv:1608.05859 (`attend`).

    Example:
      >>> embedding = Embedding(10, 4, positions="learned", max_length=8, rngs=nnx.Rngs(0))
      >>> embedding(jnp.zeros((2, 3), int)).shape
      (2, 3, 4)
    """

    def __init__(
        self,
        vocab: int | None,
        dim: int,
        *,
        positions: Literal["sinusoidal", "sinusoidal_halves", "learned"] | None = None,
        max_length: int | None = None,
        first_position: int = 0,
        scale: float | None = None,
        types: int = 0,
        width: int | None = None,
        make_norm: Callable[[int], Norm] | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if positions not in ("sinusoidal", "sinusoidal_halves", "learned", None):
            raise ValueError(
                f"positions {positions!r}: expected 'sinusoidal', 'sinusoidal_halves', 'learned' or None"
            )
        if positions == "learned" and max_length is None:
            raise ValueError("max_length None: learned positions need the number of rows of their table")
        self.positions = positions
        self.max_length = max_length if positions == "learned" else None
        self.first_position = first_position
        self.width = dim if width is None else width
        self.scale = self.width**0.5 if scale is None else scale

        def table(rows: int, axis: str, spread: float) -> EmbeddingTable:
            return EmbeddingTable(
                rows,
                self.width,
                embedding_init=nnx.initializers.normal(spread),
                embedding_metadata=named(axis, "embed" if width is None else "factor"),
                dtype=dtype,
                param_dtype=param_dtype,
                rngs=rngs,
            )

        self.tokens: Any = None if vocab is None else table(vocab, "vocab", self.width**-0.5)
        rows = None if self.max_length is None else self.max_length + first_position
        self.table = None if rows is None else table(rows, "position", 0.02)
        self.types = table(types, "type", 0.02) if types else None
        self.norm = None if make_norm is None else make_norm(self.width)
        self.project = None if width is None else self._widening(width, dim, dtype, param_dtype, rngs)

    @staticmethod
    def _widening(width: int, dim: int, dtype: Any, param_dtype: Any, rngs: nnx.Rngs) -> nnx.Linear:
        return nnx.Linear(
            width,
            dim,
            kernel_metadata=named("factor", "embed"),
            bias_metadata=named("embed"),
            dot_general=flat_dot_general,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def __call__(
        self,
        tokens: Int[Array, "*B T"],
        positions: Int[Array, "*#B T"] | None = None,
        types: Int[Array, "*#B T"] | None = None,
        *,
        shared: "Embedding | None" = None,
        taps: Request = None,
    ) -> Float[Array, "*B T D"]:
        """Returns the vectors of tokens at integer positions.

        Args:
          tokens: their ids.
          positions: of the tokens; None: they count from 0.
          types: of the tokens; None: 0.
          shared: the embedding whose E it is; None: there is an own one.
          taps: the sites of this part; it has "tokens", the rows of E.

        Raises:
          TypeError: The tokens are not integers.
          ValueError: The vocabulary lacks an id, or the learned tables rows for so many tokens, for a
            position or for a type, where their values are known. Traced ones that they lack give NaN. Types
            are given to an embedding that has none.
        """
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"tokens have dtype {tokens.dtype}: expected integers")
        self.require_rows(tokens.shape[-1])
        own = (self if shared is None else shared).tokens
        assert own is not None, "an embedding without a vocabulary needs shared="
        _require_inside("tokens", tokens, own.num_embeddings, "vocabulary has {} ids")
        vectors = tapped(taps, "tokens", _rows(own, tokens))
        if self.scale != 1:
            vectors = vectors * self.scale
        if positions is None:
            positions = jnp.arange(tokens.shape[-1])
        if self.table is not None:
            vectors = vectors + of_rank(self._of_position(self.table, positions), vectors.ndim)
        elif self.positions is not None:
            halves = self.positions == "sinusoidal_halves"
            at = sinusoidal(positions, self.width, halves=halves, dtype=vectors.dtype)
            vectors = vectors + of_rank(at, vectors.ndim)
        vectors = self._typed(vectors, types)
        vectors = vectors if self.norm is None else self.norm(vectors)
        return vectors if self.project is None else self.project(vectors)

    def _of_position(self, table: nnx.Embed, positions: Int[Array, "*B T"]) -> Float[Array, "*B T W"]:
        assert self.max_length is not None
        _require_inside("positions", positions, self.max_length, "table of positions has {} rows")
        return _rows(table, positions + self.first_position)

    def _typed(
        self, vectors: Float[Array, "*B T W"], types: Int[Array, "*#B T"] | None
    ) -> Float[Array, "*B T W"]:
        if self.types is None:
            if types is not None:
                raise ValueError(f"types {list(types.shape)}: the embedding has no types")
            return vectors
        if types is None:
            return vectors + self.types.embedding[...][0].astype(vectors.dtype)
        _require_inside("types", types, self.types.num_embeddings, "table of types has {} rows")
        return vectors + of_rank(_rows(self.types, types), vectors.ndim)

    def require_rows(self, length: int) -> None:
        """Raises ValueError for more tokens than a learned table has rows."""
        if self.max_length is not None and length > self.max_length:
            raise ValueError(f"{length} tokens: the table of positions has {self.max_length} rows")

    def attend(self, x: Float[Array, "*B W"]) -> Float[Array, "*B V"]:
        """Returns the logits x·Eᵀ over the tokens, in float32 or better."""
        logits: Array = self.tokens.products(x)
        return logits


class EmbeddingTable(nnx.Embed):
    """A table of vectors, which are looked up by their number or all multiplied with others."""

    def products(self, x: Float[Array, "*B W"]) -> Float[Array, "*B V"]:
        """Returns the products of x with all vectors, in float32 or better."""
        table, kind = self.embedding[...].astype(x.dtype), accumulation_dtype(x)

        def multiplied(x: Array, table: Array) -> Array:
            return jnp.einsum("...d,vd->...v", x, table, preferred_element_type=kind)

        if x.dtype == kind:
            return multiplied(x, table)
        # XLA multiplies in float32 on a CPU. Where it converts by itself, a loop that decodes holds two more
        # tables in float32, transposed, beside the one that it reads.
        return jax.lax.platform_dependent(
            x, table, cpu=lambda *both: multiplied(*(y.astype(kind) for y in both)), default=multiplied
        )


@automatic(lambda table, index: spec(*mesh_axes(index), *mesh_axes(table.embedding[...])[1:]))
def _rows(table: nnx.Embed, index: Int[Array, "*B"]) -> Float[Array, "*B D"]:
    held = table.embedding[...]
    whole = rows_whole(held)
    return table(index) if whole is held else jnp.take(whole.astype(table.dtype), index, axis=0)


def _require_inside(name: str, given: Array, rows: int, there_are: str) -> None:
    if isinstance(given, jax.core.Tracer) or given.size == 0:
        return
    if not getattr(given, "is_fully_addressable", True):  # Other processes hold some of it.
        return
    values = jax.device_get(given)  # In NumPy: what is known stays so while jit traces something else.
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= rows:
        raise ValueError(f"{name} from {low} to {high}: the {there_are.format(rows)}")
