"""The encoder of the rows of a table."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.models.class_token import ClassTokenModel
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.table_config import TableConfig
from attnjax.nn import Dropout
from attnjax.nn.axes import named
from attnjax.nn.placed import rows_whole
from attnjax.nn.taps import Asked, Request, tapped, within


class ColumnTokens(nnx.Module):
    """A token for each column of a row: b_j + x_j·w_j of a number, b_j + E_j[x_j] of a class, m_j of neither.

    Args:
      classes: the number of classes of each column, 0 for a column of numbers.
      dim: D, the size of a token.
      dtype: of the tokens.
      param_dtype: of the parameters.
      rngs: draws w, E, b and m, evenly in ±1/√D.

    References:
      Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, 2021, arXiv:2106.11959.

    Example:
      >>> tokens = ColumnTokens((0, 3), 8, rngs=nnx.Rngs(0))
      >>> tokens(jnp.array([[0.5, 2.0], [jnp.nan, 0.0]])).shape
      (2, 2, 8)
    """

    def __init__(
        self,
        classes: Sequence[int],
        dim: int,
        *,
        dtype: jnp.dtype | None = None,
        param_dtype: jnp.dtype | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        kinds = param_dtype or jnp.dtype("float32")
        self.classes, self._dtype = tuple(classes), dtype or jnp.dtype("float32")

        def drawn(rows: int, axis: str) -> nnx.Param:
            start = jax.random.uniform(rngs.params(), (rows, dim), kinds, -(dim**-0.5), dim**-0.5)
            return nnx.Param(start, **named(axis, "embed"))

        self.kernel = drawn(len(self.classes), "column")
        self.bias = drawn(len(self.classes), "column")
        self.missing = drawn(len(self.classes), "column")
        self.table = drawn(sum(self.classes), "vocab") if any(self.classes) else None

    def __call__(self, values: Float[Array, "B F"], *, taps: Request = None) -> Float[Array, "B F D"]:
        """Returns the tokens of numbers and of codes of classes; NaN stands for a missing value."""
        known = ~jnp.isnan(values)
        values = jnp.where(known, values, 0)
        kernel, bias, missing = (rows_whole(own[...]) for own in (self.kernel, self.bias, self.missing))
        tokens = values[..., None] * kernel
        if self.table is not None:
            counts = np.asarray(self.classes)
            codes = values.astype(jnp.int32) + (np.cumsum(counts) - counts)
            of_class = rows_whole(self.table[...])[jnp.minimum(codes, int(counts.sum()) - 1)]
            tokens = jnp.where((counts > 0)[:, None], of_class, tokens)
        tokens = jnp.where(known[..., None], tokens + bias, missing)
        return tapped(taps, "columns", tokens.astype(self._dtype))


class TableTransformer(ClassTokenModel):
    """An FT-Transformer: a stack of blocks over a class token and a token for each column of a row.

    Its state is `nnx.Param`s only. What is missing is a token of its own for each column.

    Args:
      config: its shape.
      classes: the number of classes of each column, 0 for a column of numbers.

    References:
      Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, 2021, arXiv:2106.11959.

    Example:
      >>> model = TableTransformer(TableConfig(dim=8), (0, 3), rngs=nnx.Rngs(0))
      >>> model(jnp.array([[0.5, 2.0], [jnp.nan, 0.0]])).logits.shape
      (2, 2)
    """

    config: TableConfig

    def __init__(self, config: TableConfig, classes: Sequence[int], *, rngs: nnx.Rngs) -> None:
        self.config = config
        parts = Parts(config, rngs)
        self.embedding = ColumnTokens(classes, config.dim, rngs=rngs, **parts.dtypes)
        self._make_stack(parts, config.layers, config.labels)

    def __call__(
        self,
        values: Float[Array, "B F"],
        *,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> EncoderOutput:
        """Returns the vectors of the columns after that of the class token, and the logits of the labels.

        Args:
          values: numbers, codes of classes, and NaN for what is missing.
          dropout: of tokens, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"; of columns
            [B, N, 1 + F, 1 + F]), and the vectors ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        columns = len(self.embedding.classes)
        if values.ndim != 2 or values.shape[1] != columns:
            raise ValueError(f"values {list(values.shape)}: expected (B, {columns})")
        captured = Captured(capture, "blocks")
        x = self.embedding(values, taps=within(captured.sites, "embedding"))
        return self._told(x, captured, dropout=dropout)
