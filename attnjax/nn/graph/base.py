"""The base of layers that attend along the edges of graphs."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.dropout import Dropout
from attnjax.nn.projection import into_heads
from attnjax.ops.graph import Edges, edge_weights, flat_edges, gathered


class EdgeAttention(nnx.Module):
    """Attention of every node to those from which an edge of the caller leads to it.

    The weights are those of the caller's edges, in their order: no self-loops are added (`with_self_loops`
    of `ops.graph` does). A node that no edge reaches gets 0 from its neighbours.

    Args:
      dim: D, of the nodes in and out.
      heads: N; each is D/N wide.
      edge_dim: the width of what the edges hold; None: nothing.
      average: whether the heads, each D wide, are averaged, as in the last layer of the paper, where they
        are otherwise joined.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: Sizes are below 1, or the heads do not divide D.
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        edge_dim: int | None = None,
        average: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        size = dim if average else None
        require_sizes(dim, heads, kv_heads=None, head_dim=size, edge_dim=edge_dim)
        self.dim, self.heads, self.edge_dim, self.average = dim, heads, edge_dim, average
        self.head_dim = dim if average else dim // heads
        self._make(
            {"heads": heads, "head_dim": self.head_dim}, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )

    def __call__(
        self,
        x: Float[Array, "*B V D"],
        edges: Int[Array, "*B 2 E"],
        *,
        edge_features: Float[Array, "*B E F"] | None = None,
        mask: Bool[Array, "*B E"] | None = None,
        is_sorted: bool = False,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends along the edges.

        Args:
          x: the nodes.
          edges: for each edge the node that is read and the node that reads; those with a negative end are
            padding, whose features and weights do not matter.
          edge_features: what the edges hold, where the layer has an `edge_dim`.
          mask: False for edges that are left out.
          is_sorted: a promise that in each graph targets do not fall and padding comes last.
          dropout: on the weights.
          capture: the heads of the weights [*B, N, E] before dropout to return.

        Raises:
          TypeError: The edges are not integers.
          ValueError: Shapes do not fit; an edge ends at a node that there is not; edge features come without
            an `edge_dim`, or are missing; a capture asks for rows or for heads that there are not.
        """
        require_width("x", x, self.dim)
        features = self._features(edge_features, edges)
        if edges.shape[:-2] != x.shape[:-2]:
            raise ValueError(
                f"edges {list(edges.shape)}: expected the batch axes {list(x.shape[:-2])} (*B) of x"
            )
        if capture is not None:
            if capture.rows is not None:
                raise ValueError(f"capture.rows {capture.rows}: weights of edges have no rows, expected None")
            capture.require_within("heads", self.heads)
        flat = flat_edges(edges, x.shape[-2], mask=mask)
        if features is not None:
            features = jnp.where(flat.real[:, None], features, 0)
        scores, messages = self._scored(x.reshape(-1, self.dim), features, flat)
        weights = edge_weights(scores, flat, is_sorted=is_sorted)
        used = weights if dropout is None else dropout(weights)
        out = gathered(used, messages, flat, is_sorted=is_sorted)
        out = out.mean(-2) if self.average else out.reshape(-1, self.dim)
        out = self._finished(out, x.reshape(-1, self.dim)).reshape(x.shape)
        if capture is None:
            return AttentionOutput(out)
        by_head = jnp.moveaxis(weights.reshape(*edges.shape[:-2], edges.shape[-1], self.heads), -1, -2)
        return AttentionOutput(
            out, None, by_head if capture.heads is None else by_head[..., capture.heads, :]
        )

    def _features(self, given: Array | None, edges: Array) -> Array | None:
        if (given is None) != (self.edge_dim is None):
            raise ValueError(
                f"edge_features are {'missing' if given is None else 'given'}: edge_dim is {self.edge_dim}"
            )
        if given is None or self.edge_dim is None:
            return None
        expected = (*edges.shape[:-2], edges.shape[-1], self.edge_dim)
        if given.shape != expected:
            raise ValueError(f"edge_features {list(given.shape)}: expected {list(expected)} (*B, E, F)")
        return given.reshape(-1, self.edge_dim)

    def _make(self, heads: dict[str, int], **common: Any) -> None:
        """Makes the parameters."""
        raise NotImplementedError

    def _scored(self, x: Array, features: Array | None, edges: Edges) -> tuple[Array, Array]:
        """Returns the scores [E, N] and messages [E, N, H] of the edges between nodes [M, D]."""
        raise NotImplementedError

    def _finished(self, out: Array, x: Array) -> Array:
        """Returns the output [M, D], given the heads joined or averaged and the nodes."""
        raise NotImplementedError


def of_edges(width: int | None, heads: dict[str, int], common: dict[str, Any]) -> nnx.LinearGeneral | None:
    """Returns the linear map of what the edges hold into heads, where they hold something."""
    return None if width is None else into_heads(width, heads, source="edge", bias=False, **common)
