"""Layers of images and graphs in models, and mechanisms that pool: against the layers called by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import Encoder, EncoderConfig, GraphConfig, GraphModel, VisionConfig, VisionTransformer
from attnjax.nn import Capture, Taps, make_attention
from attnjax.nn.layouts import Graph, GraphLayer
from attnjax.nn.pooling import Pool
from tests.daily import daily

SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "hidden": 4}
IMAGE_LAYERS = (
    "swin_window(size=2)+swin_window(size=2, shift=1)+neighborhood_window(window=3)+axial+softmax+non_local"
    "+squeeze_excite(reduction=2)+cbam(kernel=3)+eca+augmented_convolution+deformable(points=2)"
)
PATCHES: dict[str, Any] = {"image": 4, "patch": 2, "class_token": False, "pooling": "mean"}
IMAGES = jax.random.normal(jax.random.key(1), (2, 4, 6, 3))


def moved(model: Any) -> Any:
    """The model with every parameter off its initial value."""
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    near = [x + 0.3 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, near))
    return model


def by_hand(model: VisionTransformer, rows: int, columns: int) -> jax.Array:
    """The states of images by the layers themselves."""
    x = model._embedded(IMAGES, None, None)
    for block in model.blocks:
        normed = block.attention_residual.norm(x)
        if hasattr(block.attention, "layer"):
            read = block.attention.layer(normed.reshape(2, rows, columns, 8)).out.reshape(x.shape)
        else:
            read = block.attention(normed).out
        x = x + read
        x = x + block.feed_forward(block.feed_forward_residual.norm(x))
    return model.norm(x)


def test_layers_of_images_stand_between_layers_of_tokens_in_images_that_are_not_square() -> None:
    config = VisionConfig(**SMALL, **PATCHES, layers=11, mechanism=IMAGE_LAYERS, labels=3)
    model = moved(VisionTransformer(config, rngs=nnx.Rngs(0)))
    called = jax.jit(
        lambda model: (model(IMAGES, capture=Capture()), by_hand(model, 2, 3), by_hand(model, 3, 2))
    )
    output, expected, turned = called(model)
    np.testing.assert_allclose(output.states, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(turned - expected).max() > 0.1
    np.testing.assert_allclose(output.logits, model.head(expected.mean(1)), rtol=1e-4, atol=1e-4)
    shapes = {name: w.shape for name, w in output.weights.items()}
    assert shapes == {
        "blocks.0.attention": (2, 1, 2, 2, 4, 4),  # Windows in a row and two columns.
        "blocks.1.attention": (2, 1, 2, 2, 4, 4),
        "blocks.2.attention": (2, 2, 6, 6),
        "blocks.4.attention": (2, 2, 6, 6),
        "blocks.5.attention": (2, 2, 6, 6),
    }
    np.testing.assert_allclose(output.weights["blocks.2.attention"].sum(-1), 1, rtol=1e-5)


def test_taps_read_the_weights_of_a_layer_of_images_and_gradients_are_those_without_remat() -> None:
    def made(**fields: Any) -> VisionTransformer:
        config = VisionConfig(
            **SMALL, **PATCHES, layers=1, mechanism="neighborhood_window(window=1)", **fields
        )
        return moved(VisionTransformer(config, rngs=nnx.Rngs(0)))

    kept, again = made(), made(remat=True)

    def gradient(model: VisionTransformer) -> Any:
        return nnx.grad(lambda model: model(IMAGES).pooled.sum())(model)

    of_kept, of_again, taps = jax.jit(
        lambda a, b: (gradient(a), gradient(b), a(IMAGES, capture=Taps(read="*.attention.*")).taps)
    )(kept, again)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), of_kept, of_again)
    weights = taps["blocks.0.attention.weights"]
    np.testing.assert_allclose(weights, np.broadcast_to(np.eye(6), weights.shape), atol=1e-6)
    assert set(taps) == {"blocks.0.attention.weights", "blocks.0.attention.out"}


POOLS = (
    "self_attentive_pooling",
    "pma(seeds=2)",
    "perceiver_resampler(latents=2, layers=1)",
    "q_former(queries=2, layers=1, every=1)",
    "slot_attention(slots=2, learned=True)",
    "cross",
    "gated_cross",
    "bilinear_attention",
)


@pytest.mark.parametrize(
    "name", [*POOLS[:3], *(pytest.param(name, marks=pytest.mark.slow) for name in POOLS[3:])]
)
def test_padding_says_nothing_to_a_pool(name: str) -> None:
    rngs = nnx.Rngs(0)
    layer = make_attention(name, 8, 2, rngs=rngs)
    pool = moved(Pool(layer, 8, reads=name in ("cross", "gated_cross", "bilinear_attention"), rngs=rngs))
    x = jax.random.normal(jax.random.key(2), (2, 5, 8))
    present = jnp.arange(5) < jnp.array([[3], [4]])

    @jax.jit
    def found(pool: Pool) -> Any:
        other = jnp.where(present[..., None], x, 7.0)
        return pool(x, present=present), pool(other, present=present), pool(x[:1, :3]), pool(x)

    masked, other, short, whole = found(pool)
    np.testing.assert_allclose(masked.out, other.out, atol=1e-5)
    np.testing.assert_allclose(masked.out[:1], short.out, atol=1e-5)
    assert np.abs(masked.out - whole.out).max() > 1e-3


def test_self_attentive_pooling_in_an_encoder_is_its_formula() -> None:
    config = EncoderConfig(
        **SMALL, layers=1, pooling="self_attentive_pooling", head="labels", positions="none"
    )
    model = moved(Encoder(config, vocab=7, rngs=nnx.Rngs(0)))
    tokens, lengths = jnp.array([[1, 2, 3, 4], [3, 5, 0, 0]]), jnp.array([4, 2])
    output = jax.jit(lambda model: model(tokens, lengths=lengths, capture=Capture(heads=(1,), rows=(0, 3))))(
        model
    )
    states, layer = np.asarray(output.states, np.float64), model.pool.layer
    scores = np.tanh(states @ np.asarray(layer.features.kernel[...])) @ np.asarray(layer.queries[...]).T
    powers = np.exp(scores) * (np.arange(4)[:, None] < np.array([[[4]], [[2]]]))
    weights = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(output.pooled, np.einsum("bsr,bsd->bd", weights, states) / 2, atol=1e-5)
    np.testing.assert_allclose(output.weights["pool"][:, 0, 0], weights[..., 1], atol=1e-5)
    assert output.weights["pool"].shape == (2, 1, 1, 4)


NODES = np.array([[1, 2, 3, 0], [2, 0, 0, 0]])
EDGES = np.array([[[0, 1, 2, 0], [1, 2, 0, 3]], [[0, 1, -1, -1], [1, 0, -1, 2]]])
LENGTHS = np.array([4, 2])


@pytest.mark.parametrize(
    ("mechanism", "width"), [("gat+graphormer+softmax", None), ("gatv2+graph_transformer", 2)]
)
def test_neither_the_order_nor_the_padding_of_graphs_matters(mechanism: str, width: int | None) -> None:
    layers, pooling = mechanism.count("+") + 1, "sum" if width else "pma"
    config = GraphConfig(
        **SMALL, layers=layers, mechanism=mechanism, edge_features=width, labels=3, pooling=pooling
    )
    model = moved(GraphModel(config, kinds=4, rngs=nnx.Rngs(0)))
    held = None if width is None else np.random.default_rng(0).normal(size=(2, 4, width)).astype(np.float32)
    called = jax.jit(lambda *given: model(*given[:2], edge_features=given[2], lengths=LENGTHS))
    plain = called(NODES, EDGES, held)
    assert plain.logits.shape == (2, 3)
    if pooling == "sum":
        summed = [
            np.asarray(states[:length]).sum(0) for states, length in zip(plain.states, LENGTHS, strict=True)
        ]
        np.testing.assert_allclose(plain.pooled, summed, rtol=1e-4, atol=1e-5)
    # Nodes and edges in another order, and other numbers in the padding.
    order, of_edges = np.array([2, 0, 3, 1]), np.array([3, 1, 0, 2])
    nodes, edges = NODES.copy(), EDGES.copy()
    nodes[0, order] = NODES[0]
    edges[0] = order[EDGES[0]]
    edges = edges[..., of_edges]
    nodes[1, 2:] = 3
    held = None if held is None else held[:, of_edges]
    again = called(nodes, edges, held)
    np.testing.assert_allclose(again.states[0, order], plain.states[0], atol=1e-4)
    np.testing.assert_allclose(again.states[1, :2], plain.states[1, :2], atol=1e-4)
    np.testing.assert_allclose(again.logits, plain.logits, atol=1e-4)


@pytest.mark.parametrize(
    ("mechanism", "pooling"),
    daily(
        [("gat", "sum"), ("gatv2+graphormer+softmax", "mean"), ("graph_transformer", "pma")],
        [("gatv2+graphormer+softmax", "mean")],
    ),
)
def test_graphs_that_share_a_row_are_what_they_are_alone(mechanism: str, pooling: str) -> None:
    config = GraphConfig(
        **SMALL, layers=mechanism.count("+") + 1, mechanism=mechanism, labels=3, pooling=pooling
    )
    model = moved(GraphModel(config, kinds=4, rngs=nnx.Rngs(0)))
    alone = jax.jit(lambda nodes, edges: model(nodes, edges, lengths=jnp.asarray(LENGTHS)))(NODES, EDGES)
    # Padding, then the second graph, and the first one behind it; a third has no nodes.
    nodes = np.array([[3, 2, 0, 1, 2, 3, 0, 3]])
    edges = np.array([[[5, 1, 3, -1, 2, 4, 3], [3, 2, 4, 2, 1, 5, 6]]])
    segments = np.array([[0, 1, 1, 2, 2, 2, 2, 0]])
    packed = jax.jit(lambda *given: model(given[0], given[1], segments=given[2], graphs=3))
    found = packed(nodes, edges, segments)
    assert found.logits.shape == (1, 3, 3)
    # Edges of the first graph by hand: 0 → 1 → 2 → 0 and 0 → 3.
    np.testing.assert_allclose(found.states[0, 3:7], alone.states[0], atol=1e-4)
    np.testing.assert_allclose(found.states[0, 1:3], alone.states[1, :2], atol=1e-4)
    np.testing.assert_allclose(found.logits[0, :2], alone.logits[::-1], atol=1e-4)
    assert np.isfinite(found.logits).all()
    other = packed(np.where(segments > 0, nodes, 1), edges, segments)
    np.testing.assert_allclose(other.logits, found.logits, atol=1e-5)


def test_a_layer_that_reads_lengths_alone_refuses_segments() -> None:
    class OfAllNodes(nnx.Module):
        has_weights = False

        def __call__(self, x: Any, edges: Any, *, lengths: Any = None) -> Any:
            raise AssertionError("nodes would see those of other graphs")

    layout = Graph(jnp.asarray(EDGES), segments=jnp.asarray(NODES))
    with pytest.raises(ValueError, match=r"^segments are given: .* reads lengths, expected None$"):
        GraphLayer(OfAllNodes())(jnp.ones((2, 4, 8)), layout=layout)


def test_along_an_edge_its_target_reads_and_weights_are_of_the_callers_edges() -> None:
    config = GraphConfig(**SMALL, layers=1, mechanism="gat", head="nodes", labels=2, node_features=3)
    model = moved(GraphModel(config, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(0), (1, 3, 3))
    called = jax.jit(lambda x, edges: model(x, edges, capture=Capture()))
    edges = jnp.array([[[0, 1], [1, 1]]])
    output, other = called(x, edges), called(x.at[:, 0].add(1.0), edges)
    assert output.logits.shape == (1, 3, 2)
    change = np.abs(output.states - other.states).max(-1)[0]
    assert change[1] > 1e-3
    assert change[2] == 0
    assert output.weights["blocks.0.attention"].shape == (1, 2, 2)
    np.testing.assert_allclose(output.weights["blocks.0.attention"].sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "fields", "message"),
    [
        (VisionConfig, {"mechanism": "softmax+cbam"}, "^model.class_token is True: cbam takes images, which"),
        (VisionConfig, {**PATCHES, "mechanism": "eca", "registers": 2}, "^model.registers is 2: eca takes"),
        (VisionConfig, {**PATCHES, "mechanism": "deformable(levels=2)"}, "reads 2 levels, and here there is"),
        (VisionConfig, {"mechanism": "gat"}, "gat takes graphs, and here it is given tokens or images$"),
        (EncoderConfig, {"mechanism": "axial"}, "axial takes images, and here it is given tokens$"),
        (GraphConfig, {"pooling": "hierarchical"}, "hierarchical pools words to sentences first"),
        (EncoderConfig, {"pooling": "slot_attention"}, "start at random, .*; expected learned=True$"),
        (
            EncoderConfig,
            {"pooling": "softmax"},
            "^model.pooling is 'softmax': softmax takes tokens, and here",
        ),
        (EncoderConfig, {"pooling": "pma+pma"}, r"^model.pooling is 'pma\+pma': it is of 2 layers"),
        (EncoderConfig, {"pooling": "cross(context_dim=3)"}, r"context_dim is 3, expected model.dim \(8\)$"),
        (GraphConfig, {"pooling": "first"}, "unknown mechanism 'first'.*; or one of mean, sum$"),
        (GraphConfig, {"mechanism": "cbam"}, "cbam takes images, and here it is given graphs or tokens$"),
        (
            GraphConfig,
            {"positions": "rope"},
            "^model.positions is 'rope': nodes have no order, expected none$",
        ),
        (GraphConfig, {"mechanism": "graphormer", "edge_features": 2}, "graphormer reads nothing that edges"),
        (
            GraphConfig,
            {"mechanism": "gat(edge_dim=3)", "edge_features": 2},
            "edge_dim is 3, and model.edge_f",
        ),
        (GraphConfig, {"mechanism": "mesa"}, "mesa is causal only, but an encoder reads both ways$"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(make: Any, fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**SMALL | fields)


def test_graphs_of_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"^kinds is None and model.node_features None: expected one of the"):
        GraphModel(GraphConfig(**SMALL), rngs=nnx.Rngs(0))
    model = GraphModel(GraphConfig(**SMALL, layers=1), kinds=4, rngs=nnx.Rngs(0))
    for given, more, message in (
        ((NODES.astype(np.float32), EDGES), {}, r"^nodes float32\[2, 4\]: expected integers \(B, nodes\)"),
        ((NODES, EDGES[0]), {}, r"^edges \[2, 4\]: expected \(2, 2, edges\)"),
        ((NODES, EDGES), {"edge_features": np.ones((2, 4, 1))}, r"^edge_features \(2, 4, 1\): expected None"),
        ((NODES, EDGES), {"lengths": np.array([1])}, r"^lengths \[1\]: expected \[2\]"),
        ((NODES, EDGES), {"segments": NODES[:, :3]}, r"^segments \[2, 3\]: expected \[2, 4\]"),
        ((NODES, EDGES), {"segments": NODES, "lengths": LENGTHS}, r"^lengths and segments: expected one"),
    ):
        with pytest.raises(ValueError, match=message):
            model(*map(jnp.asarray, given), **{name: jnp.asarray(x) for name, x in more.items()})
