"""The graph Transformer: scaled dot products along edges, with what the edges hold."""

from typing import Any

from jaxtyping import Array

from attnjax.nn.graph.base import EdgeAttention, of_edges
from attnjax.nn.projection import into_heads
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.graph import Edges


class GraphTransformer(EdgeAttention):
    """Attention along edges: s_ij = q_i·(k_j + U e_ij)/√H, messages v_j + U e_ij.

    R x_i is added, a path around it.

    Args:
      dim, heads: D and N.
      skip: whether there is the path around it.
      settings: those of `EdgeAttention`.

    References:
      Shi et al., Masked Label Prediction: Unified Message Passing Model for Semi-Supervised Classification,
      2021, arXiv:2009.03509.
      Dwivedi & Bresson, A Generalization of Transformer Networks to Graphs, 2021, arXiv:2012.09699.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> layer = GraphTransformer(8, 2, edge_dim=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((4, 8)), jnp.array([[0, 1], [1, 2]]), edge_features=jnp.ones((2, 3))).out.shape
      (4, 8)
    """

    def __init__(self, dim: int, heads: int, *, skip: bool = True, **settings: Any) -> None:
        self.has_skip = skip
        super().__init__(dim, heads, **settings)

    def _make(self, heads: dict[str, int], **common: Any) -> None:
        self.query, self.key, self.value = (into_heads(self.dim, heads, **common) for _ in range(3))
        self.edge = of_edges(self.edge_dim, heads, common)
        self.skip = into_heads(self.dim, {"embed": self.dim}, **common) if self.has_skip else None

    def _scored(self, x: Array, features: Array | None, edges: Edges) -> tuple[Array, Array]:
        query = self.query(x)[edges.targets]
        key, messages = self.key(x)[edges.sources], self.value(x)[edges.sources]
        if self.edge is not None and features is not None:
            held = self.edge(features)
            key, messages = key + held, messages + held
        wide = accumulation_dtype(query)
        return (query.astype(wide) * key.astype(wide)).sum(-1) * self.head_dim**-0.5, messages

    def _finished(self, out: Array, x: Array) -> Array:
        return out if self.skip is None else out + self.skip(x)
