"""Graphormer: attention of all nodes to all, biased by how far apart they are in the graph."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.dropout import Dropout
from attnjax.ops import masks, scores
from attnjax.ops.core.checks import count
from attnjax.ops.graph import adjacency, path_lengths
from attnjax.ops.masks import Mask


class Graphormer(nnx.Module):
    """Attention of all nodes with Graphormer's biases: s_ij = q_i·k_j/√H + b[d(i, j), h].

    d is the number of edges on the shortest path from j to i. A node is x + z_in[the number of edges that end
    at it] + z_out[of those that begin there], as in the paper's first layer. Its term for the features of the
    edges along a path is left out.

    Args:
      dim, heads: D and N.
      distance: paths longer than this, and pairs without one, share a bias.
      degree: nodes with this many edges or more share a vector; 0: nothing is added to the nodes.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`; a distance below 1, or a degree below 0.

    References:
      Ying et al., Do Transformers Really Perform Bad for Graph Representation?, 2021, arXiv:2106.05234.

    Example:
      >>> layer = Graphormer(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 3, 8)), jnp.array([[[0, 1], [1, 2]]] * 2)).out.shape
      (2, 3, 8)
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        distance: int = 8,
        degree: int = 64,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.distance = count("distance", distance)
        if degree < 0:
            raise ValueError(f"degree is {degree}: expected 0 or more")
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.attention = SoftmaxAttention(dim, heads, **common)

        def table(rows: int, columns: int, axis: str) -> nnx.Param[Array]:
            start = 0.02 * jax.random.normal(rngs.params(), (rows, columns), param_dtype)
            return nnx.Param(start, **named("bucket", axis))

        self.bias = table(distance + 2, heads, "heads")
        names = ("entering", "leaving") if degree else ()
        self.degrees = nnx.Dict({name: table(degree + 1, dim, "embed") for name in names})

    def __call__(
        self,
        x: Float[Array, "*B V D"],
        edges: Int[Array, "*B 2 E"],
        *,
        lengths: Int[Array, "*B"] | None = None,
        segments: Int[Array, "*B V"] | None = None,
        mask: Bool[Array, "*B E"] | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends from every node to all.

        Args:
          x: the nodes.
          edges: for each edge the node that is read and the node that reads; those with a negative end are
            padding.
          lengths: nodes of each graph; those after them are padding. None: all.
          segments: where several graphs stand in a row, the number of the one that each node is of; in the
            place of lengths.
          mask: False for edges that are left out.
          dropout: on the weights.
          capture: the heads and rows of the weights [*B, N, V, V] to return.

        Raises:
          TypeError: The edges are not integers.
          ValueError: Shapes do not fit; an edge ends at a node that there is not.
        """
        joined = adjacency(edges, x.shape[-2], mask=mask)
        for name, axis in (("entering", -1), ("leaving", -2)):
            if name in self.degrees:
                rows = self.degrees[name][...].astype(x.dtype)
                x = x + rows[jnp.minimum(joined.sum(axis), len(rows) - 1)]
        bias = jnp.moveaxis(self.bias[...][path_lengths(joined, self.distance)], -1, -3)
        if segments is not None:
            kept: Mask | None = masks.segments(segments)
        else:
            kept = None if lengths is None else masks.lengths(key=lengths)
        return self.attention(x, mask=kept, score=scores.pair_bias(bias), dropout=dropout, capture=capture)
