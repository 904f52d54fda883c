"""Attention along edges: by its loops, padded, unsorted, with isolated nodes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn import Capture, Dropout, make_attention
from attnjax.ops.graph import edge_weights, flat_edges, with_self_loops
from tests.nn.graph import literal_graph
from tests.nn.moved import moved, value_and_slope

# Unsorted; node 4 is reached by none, an edge is there twice, one is a loop. The second graph is padded.
EDGES = np.array(
    [
        [[0, 1, 2, 3, 3, 1, 0, 2], [1, 1, 0, 0, 2, 0, 1, 0]],
        [[4, 2, 3, 0, 1, -1, -1, 0], [0, 0, 1, 4, 4, 2, -1, -1]],
    ]
)
REAL = (8, 5)
NAMES = ("gat", "gatv2", "graph_transformer")
DRAW = np.random.default_rng(3)
X, FEATURES = DRAW.normal(size=(2, 5, 8)), DRAW.normal(size=(2, 8, 3))


def made(name: str, **options: Any) -> Any:
    return moved(make_attention(name, 8, 2, param_dtype=jnp.float64, rngs=nnx.Rngs(0), **options))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_its_loop_over_the_edges(name: str, x64: None) -> None:
    graphdef, params, plain = made(f"{name}(edge_dim=3)")
    padding = np.where((EDGES < 0).any(1)[..., None], np.nan, FEATURES)

    def call(params: Any, x: Any, more: Any) -> Any:
        features = jnp.asarray(padding).at[:, :5].add(more)
        layer = nnx.merge(graphdef, params)
        return layer(x, jnp.asarray(EDGES), edge_features=features, capture=Capture())[::2]

    (out, weights), slope, rise = value_and_slope(call, params, X, np.zeros((2, 5, 3)))
    assert slope == pytest.approx(rise, rel=1e-6)
    for row, real in enumerate(REAL):
        edges, features = EDGES[row][:, :real], FEATURES[row][:real]
        expected, by_edge = getattr(literal_graph, name)(plain, X[row], edges, features)
        np.testing.assert_allclose(out[row], expected, atol=1e-12)
        np.testing.assert_allclose(weights[row, :, :real], by_edge.T, atol=1e-12)
        assert not weights[row, :, real:].any()


def test_graphormer_is_its_loop_over_pairs(x64: None) -> None:
    graphdef, params, plain = made("graphormer(distance=2, degree=2)")

    def call(params: Any, x: Any) -> Any:
        layer, lengths = nnx.merge(graphdef, params), jnp.array([5, 5])
        return layer(x, jnp.asarray(EDGES), lengths=lengths, capture=Capture())[::2]

    (out, weights), slope, rise = value_and_slope(call, params, X)
    assert slope == pytest.approx(rise, rel=1e-6)
    for row, real in enumerate(REAL):
        expected, pairs = literal_graph.graphormer(plain, X[row], EDGES[row][:, :real], distance=2)
        np.testing.assert_allclose(out[row], expected, atol=1e-12)
        np.testing.assert_allclose(weights[row], pairs, atol=1e-12)


def test_the_order_of_edges_does_not_matter_and_loops_are_the_callers() -> None:
    layer = make_attention("gat(average=True)", 8, 2, rngs=nnx.Rngs(0))
    edges = jnp.asarray(EDGES[0])
    order = jnp.argsort(edges[1], stable=True)
    known = jax.jit(lambda x: layer(x, edges))(jnp.asarray(X[0], jnp.float32)).out
    call = jax.jit(lambda edges: layer(jnp.asarray(X[0], jnp.float32), edges, is_sorted=False))
    sorted_ones = layer(jnp.asarray(X[0], jnp.float32), edges[:, order], is_sorted=True)
    np.testing.assert_allclose(call(edges).out, sorted_ones.out, atol=1e-6)
    np.testing.assert_allclose(known, sorted_ones.out, atol=1e-6)
    assert not call(edges).out[4].any()
    assert call(with_self_loops(edges, 5)).out[4].any()


@pytest.mark.parametrize("name", [*NAMES, "graphormer"])
def test_no_edges_no_nodes_or_no_graphs(name: str) -> None:
    layer, edges = make_attention(name, 8, 2, rngs=nnx.Rngs(0)), jnp.zeros((2, 0), jnp.int32)
    for x in (jnp.ones((4, 8)), jnp.ones((0, 8))):
        assert layer(x, edges).out.shape == x.shape
    assert layer(jnp.ones((0, 4, 8)), jnp.zeros((0, 2, 3), jnp.int32)).out.shape == (0, 4, 8)


def test_sorted_edges_stay_sorted_where_a_mask_leaves_some_out() -> None:
    edges = jnp.array([[[0, 1, 2, -1], [0, 1, 2, -1]]] * 2)
    flat = flat_edges(edges, 3, mask=jnp.array([[True, False, True, True]] * 2))
    assert flat.targets.tolist() == [0, 1, 2, 2, 3, 4, 5, 5]
    assert flat.real.tolist() == [True, False, True, False] * 2


def test_scores_of_any_size_are_safe() -> None:
    edges = flat_edges(jnp.array([[0, 1, 2, 0], [1, 1, 2, 0]]), 4)
    scores = jnp.array([[3e4], [3e4], [-3e38], [-jnp.inf]])
    weights, pull = jax.vjp(lambda s: edge_weights(s, edges), scores)
    assert weights[:, 0].tolist() == [0.5, 0.5, 1.0, 0.0]
    assert bool(jnp.isfinite(pull(jnp.array([[1.0], [0], [1], [1]]))[0]).all())


def test_what_is_left_out_is_as_if_it_were_not_there() -> None:
    layer, x = make_attention("gatv2", 8, 2, rngs=nnx.Rngs(0)), jnp.asarray(X[0], jnp.float32)
    edges, kept = jnp.asarray(EDGES[0]), jnp.arange(8) % 3 > 0
    np.testing.assert_allclose(layer(x, edges, mask=kept).out, layer(x, edges[:, kept]).out, atol=1e-6)
    dropped = layer(x, edges, dropout=Dropout(0.5, jax.random.key(0))).out
    assert bool((dropped != layer(x, edges).out).any())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"edges": np.array([[0, 5], [1, 1]])}, "edges name node 5: there are 5, counted from 0"),
        ({"edges": np.zeros((3, 4), int)}, r"edges \[3, 4\]: expected \(\*B, 2, E\), sources and targets"),
        (
            {"edges": np.zeros((2, 2, 4), int)},
            r"edges \[2, 2, 4\]: expected the batch axes \[\]",
        ),
        ({"mask": np.ones(3, bool)}, r"mask bool\[3\]: expected bool \[8\] \(\*B, E\)"),
        ({"edge_features": np.ones((8, 3))}, "edge_features are given: edge_dim is None"),
        (
            {"capture": Capture(rows=(0,))},
            r"capture.rows \(0,\): weights of edges have no rows, expected",
        ),
        ({"x": np.ones((5, 7))}, r"x \[5, 7\]: expected \(\*B, length, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    layer = make_attention("gat", 8, 2, rngs=nnx.Rngs(0))
    arguments = {"x": X[0], "edges": EDGES[0]} | given
    with pytest.raises(ValueError, match=message):
        layer(jnp.asarray(arguments.pop("x"), jnp.float32), jnp.asarray(arguments.pop("edges")), **arguments)


def test_a_node_that_there_is_not_is_nan_where_edges_are_traced() -> None:
    layer = make_attention("gat", 8, 2, rngs=nnx.Rngs(0))
    out = jax.jit(lambda edges: layer(jnp.ones((5, 8)), edges).out)(jnp.array([[0, 9], [1, 2]]))
    assert bool(jnp.isnan(out[2]).all())
    assert bool(jnp.isfinite(out[1]).all())
