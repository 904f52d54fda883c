"""Graph attention networks: additive scores of two nodes."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array

from attnjax.nn.axes import named
from attnjax.nn.graph.base import EdgeAttention, of_edges
from attnjax.nn.projection import into_heads
from attnjax.ops.graph import Edges


class GAT(EdgeAttention):
    """Graph attention: s_ij = LeakyReLU(a·W x_j + b·W x_i + c·U e_ij), messages W x_j.

    A node reads all its neighbours in one order, whatever it holds itself; `GATv2` mends that.

    Args:
      dim, heads: D and N.
      slope: of the LeakyReLU below 0.
      settings: those of `EdgeAttention`.

    References:
      Veličković et al., Graph Attention Networks, 2018, arXiv:1710.10903.

    Example:
      >>> layer = GAT(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 3, 8)), jnp.array([[[0, 1], [1, 2]]])).out.shape
      (1, 3, 8)
    """

    def __init__(self, dim: int, heads: int, *, slope: float = 0.2, **settings: Any) -> None:
        self.slope = slope
        super().__init__(dim, heads, **settings)

    def _make(self, heads: dict[str, int], **common: Any) -> None:
        self.node = into_heads(self.dim, heads, bias=False, **common)
        self.edge = of_edges(self.edge_dim, heads, common)
        names = ("of_source", "of_target") if self.edge is None else ("of_source", "of_target", "of_edge")
        self.vectors = nnx.Dict({name: _vector(heads, common) for name in names})
        self.bias = _bias(self.dim, common)

    def _scored(self, x: Array, features: Array | None, edges: Edges) -> tuple[Array, Array]:
        nodes = self.node(x)
        parts = {name: vector[...].astype(nodes.dtype) for name, vector in self.vectors.items()}
        scores = (nodes * parts["of_source"][None]).sum(-1)[edges.sources]
        scores = scores + (nodes * parts["of_target"][None]).sum(-1)[edges.targets]
        if self.edge is not None and features is not None:
            scores = scores + (self.edge(features) * parts["of_edge"][None]).sum(-1)
        return jax.nn.leaky_relu(scores, self.slope), nodes[edges.sources]

    def _finished(self, out: Array, x: Array) -> Array:
        return out + self.bias[...].astype(out.dtype)[None]


class GATv2(EdgeAttention):
    """Graph attention: s_ij = a·LeakyReLU(W x_j + R x_i + U e_ij), messages W x_j.

    The order in which a node reads its neighbours depends on what it holds itself.

    Args:
      dim, heads: D and N.
      slope: of the LeakyReLU below 0.
      settings: those of `EdgeAttention`.

    References:
      Brody et al., How Attentive are Graph Attention Networks?, 2022, arXiv:2105.14491.

    Example:
      >>> layer = GATv2(8, 2, average=True, edge_dim=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((4, 8)), jnp.array([[0, 1], [1, 2]]), edge_features=jnp.ones((2, 3))).out.shape
      (4, 8)
    """

    def __init__(self, dim: int, heads: int, *, slope: float = 0.2, **settings: Any) -> None:
        self.slope = slope
        super().__init__(dim, heads, **settings)

    def _make(self, heads: dict[str, int], **common: Any) -> None:
        self.source = into_heads(self.dim, heads, **common)
        self.target = into_heads(self.dim, heads, **common)
        self.edge = of_edges(self.edge_dim, heads, common)
        self.vector = _vector(heads, common)
        self.bias = _bias(self.dim, common)

    def _scored(self, x: Array, features: Array | None, edges: Edges) -> tuple[Array, Array]:
        messages = self.source(x)[edges.sources]
        both = messages + self.target(x)[edges.targets]
        if self.edge is not None and features is not None:
            both = both + self.edge(features)
        vector = self.vector[...].astype(both.dtype)[None]
        return (jax.nn.leaky_relu(both, self.slope) * vector).sum(-1), messages

    def _finished(self, out: Array, x: Array) -> Array:
        return out + self.bias[...].astype(out.dtype)[None]


def _vector(heads: dict[str, int], common: dict[str, Any]) -> nnx.Param[Array]:
    param_dtype: DTypeLike = common["param_dtype"]
    start = nnx.initializers.xavier_uniform()(common["rngs"].params(), tuple(heads.values()), param_dtype)
    return nnx.Param(start, **named(*heads))


def _bias(dim: int, common: dict[str, Any]) -> nnx.Param[Array]:
    return nnx.Param(jnp.zeros((dim,), common["param_dtype"]), **named("embed"))
