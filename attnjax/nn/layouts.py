"""Layers of images and of graphs in the place of attention among tokens, told by a layout how these lie."""

from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.calling import taken
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.dropout import Dropout
from attnjax.nn.taps import Request


class PatchGrid(NamedTuple):
    """The rows and columns of an image, whose patches are tokens row by row."""

    rows: int
    columns: int


class Graph(NamedTuple):
    """The graph whose nodes are tokens.

    Attributes:
      edges: for each edge the node that is read and the node that reads; those with a negative end are
        padding.
      edge_features: what the edges hold; None: nothing.
      lengths: nodes of each graph, after which there is padding; None: all are nodes.
      segments: where several graphs stand in a row, the number from 1 of the one that each node is of, 0 for
        padding.
    """

    edges: Int[Array, "B 2 E"]
    edge_features: Float[Array, "B E F"] | None = None
    lengths: Int[Array, " B"] | None = None
    segments: Int[Array, "B V"] | None = None


_OF_ALL_NODES = ("lengths", "segments")
"""The arguments of a layer in which nodes see others than those that an edge leads from."""
Layout = PatchGrid | Graph | None
"""The places of tokens beyond their order; None: there is nothing else."""


class ImageLayer(nnx.Module):
    """A layer of images [B, Y, X, D] over the patches [B, T, D] of images.

    Args:
      layer: takes an image, such as `WindowAttention`.

    Example:
      >>> import jax.numpy as jnp
      >>> from attnjax.nn.spatial import SqueezeExcite
      >>> layer = ImageLayer(SqueezeExcite(8, 1, rngs=nnx.Rngs(0)))
      >>> layer(jnp.ones((2, 6, 8)), layout=PatchGrid(2, 3)).out.shape
      (2, 6, 8)
    """

    reads_layout = True

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.has_weights = layer.has_weights

    def __call__(
        self,
        x: Float[Array, "B T D"],
        *,
        layout: Layout = None,
        mask: None = None,
        cache: None = None,
        score: None = None,
        **of_weights: Any,
    ) -> AttentionOutput:
        """Applies the layer.

        Args:
          x: the patches, row by row.
          layout: their rows and columns.
          mask: None, as all patches are there.
          cache: None, as an image is whole.
          score: None, as places are two numbers.
          of_weights: dropout and capture of a layer with weights, which have the form that it gives them.

        Raises:
          ValueError: There is another layout, a mask, a cache or a score.
        """
        _require_none(self.layer, mask=mask, cache=cache, score=score)
        if not isinstance(layout, PatchGrid) or layout.rows * layout.columns != x.shape[-2]:
            raise ValueError(f"layout {layout}: expected the rows and columns of {x.shape[-2]} patches")
        own = self.layer(x.reshape(*x.shape[:-2], *layout, x.shape[-1]), **of_weights)
        return AttentionOutput(own.out.reshape(x.shape), None, own.weights)


class GraphLayer(nnx.Module):
    """A layer of graphs over nodes [B, V, D], in the place of attention among tokens.

    Args:
      layer: takes nodes and edges, such as `GATv2`.

    Example:
      >>> import jax.numpy as jnp
      >>> from attnjax.nn.graph import GATv2
      >>> layer = GraphLayer(GATv2(8, 2, rngs=nnx.Rngs(0)))
      >>> layer(jnp.ones((1, 3, 8)), layout=Graph(jnp.array([[[0, 1], [1, 2]]]))).out.shape
      (1, 3, 8)
    """

    reads_layout = True

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.has_weights = layer.has_weights

    def __call__(
        self,
        x: Float[Array, "B V D"],
        *,
        layout: Layout = None,
        mask: Any = None,
        cache: None = None,
        score: None = None,
        dropout: Dropout | None = None,
        capture: Request = None,
    ) -> AttentionOutput:
        """Applies the layer.

        Args:
          x: the nodes.
          layout: their edges and, of padded batches, lengths or segments.
          mask: not used: padding has no edges.
          cache: None, as a graph is whole.
          score: None, as nodes have no order.
          dropout: of the weights.
          capture: the weights to return: of edges [B, N, E], or [B, N, V, V] of a layer of all nodes.

        Raises:
          ValueError: There is another layout, a cache or a score; or segments, and the layer reads lengths
            alone, so that nodes would see those of other graphs.
        """
        _require_none(self.layer, cache=cache, score=score)
        if not isinstance(layout, Graph):
            raise ValueError(f"layout {layout}: expected the edges of a graph")
        known: dict[str, Any] = {name: getattr(layout, name) for name in ("edge_features", *_OF_ALL_NODES)}
        given = taken(self.layer.__call__, known | {"dropout": dropout, "capture": capture})
        if layout.segments is not None and "lengths" in given and "segments" not in given:
            raise ValueError(f"segments are given: {type(self.layer).__name__} reads lengths, expected None")
        own: AttentionOutput = self.layer(x, layout.edges, **given)
        return own


def _require_none(layer: Any, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} {value!r}: {type(layer).__name__} takes none, expected None")
