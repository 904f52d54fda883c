"""Layers of Keras: MultiHeadAttention and GroupQueryAttention; Attention and AdditiveAttention."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from attnjax.interop.weights import made, parameters, require_plain
from attnjax.nn.attention.settings import OutputGate
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.ops import comparisons

_NAMES = {
    "query": "query",
    "key": "key",
    "value": "value",
    "attention_output": "out",
    "gate": "output_gate.up",
}
"""Keras' names of the parts of its layers, and ours."""


def from_keras(layer: Any) -> SoftmaxAttention:
    """Returns the layer that computes what a layer of Keras does, with copies of its weights.

    Keras' `value` is our context, and its `key`, where it is another one, the context with `value` as our
    `values`. Its masks are True where they attend, as ours; `use_causal_mask` is `mask=aj.causal()`.

    Args:
      layer: a `keras.layers.MultiHeadAttention` or `GroupQueryAttention` that was built.

    Raises:
      TypeError: The layer is none of these.
      ValueError: It was not built, attends over several axes, or holds float64 and jax is not set to it.
    """
    import keras

    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    if not isinstance(layer, kinds):
        raise TypeError(f"layer is a {type(layer).__name__}: expected one of Keras' multi-head layers")
    if not layer.built:
        raise ValueError(f"layer {layer.name!r} has no weights yet: expected one that was built or called")
    config = layer.get_config()
    held = {"/".join(w.path.split("/")[-2:]): np.asarray(w.value) for w in layer.weights}
    arrays = {}
    for path, array in held.items():
        part, _, kind = path.partition("/")
        arrays[f"{_NAMES[part]}.{kind}"] = array
    shapes = {name: x.shape for name, x in arrays.items()}
    if any(len(shapes[f"{name}.kernel"]) != 3 for name in ("query", "key", "value", "out")):
        raise ValueError(f"layer {layer.name!r}: expected kernels of 3 axes, of attention over one axis")
    # Kernels do not tell: inputs of more axes have the same ones.
    last = (len(layer.get_build_config()["shapes_dict"]["query_shape"]) - 2,)
    axes = tuple(config.get("attention_axes") or last)
    if axes != last:
        raise ValueError(
            f"layer {layer.name!r} attends over the axes {axes}: expected {last}, before the last"
        )
    dim, heads, head_dim = shapes["query.kernel"]
    _, kv_heads, value_dim = shapes["value.kernel"]
    return made(
        arrays,
        dim=dim,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=value_dim,
        context_dim=shapes["key.kernel"][0],
        values_dim=shapes["value.kernel"][0],
        out_dim=shapes["out.kernel"][-1],
        bias="query.bias" in arrays,
        window=config["sliding_window"],
        output_gate=OutputGate(bias="query.bias" in arrays) if config["use_gate"] else None,
    )


def keras_rules(layer: Any, size: int) -> dict[str, Any]:
    """Returns the arguments of `attnjax.attention` that mean what a layer of Keras without projections does.

    Args:
      layer: a `keras.layers.Attention` or `AdditiveAttention` that was built.
      size: H, of its queries and keys, which here have an axis of one head before it.

    Raises:
      TypeError: The layer is none of these.
      ValueError: It was not built.
    """
    import keras

    if not isinstance(layer, keras.layers.Attention):  # The other is a subclass.
        raise TypeError(f"layer is a {type(layer).__name__}: expected Keras' Attention or AdditiveAttention")
    if not layer.built:
        raise ValueError(f"layer {layer.name!r} has no weights yet: expected one that was built or called")
    scale = None if layer.scale is None else jnp.asarray(np.asarray(layer.scale.value))
    if isinstance(layer, keras.layers.AdditiveAttention):
        return {"comparison": comparisons.additive(jnp.ones((size,)) if scale is None else scale)}
    if layer.score_mode == "dot":
        return {"comparison": comparisons.dot(), "scale": 1.0 if scale is None else scale}
    v = jnp.full((size,), np.asarray(layer.concat_score_weight.value))
    if scale is None:
        return {"comparison": comparisons.additive(v)}
    return {"comparison": comparisons.concat(v, scale * jnp.eye(size), scale * jnp.eye(size))}


def to_keras(layer: SoftmaxAttention) -> Any:
    """Returns a built layer of Keras with copies of a layer's weights.

    It is a `GroupQueryAttention` where key/value heads are fewer, and a `MultiHeadAttention` otherwise.

    Raises:
      TypeError: The layer is no `SoftmaxAttention`.
      ValueError: The layer has what Keras' lack: rope, norms, a sink, some biases alone, …
    """
    import keras

    require_plain(layer, "keras", "window", "output_gate")
    held = {name: np.asarray(x[...]) for name, x in parameters(layer).items()}
    grouped = layer.kv_heads != layer.heads
    biases = {name.partition(".")[0] for name in held if name.endswith("bias")}
    gate = None if layer.output_gate is None else layer.output_gate.settings
    window = layer.window
    out_dim = held["out.kernel"].shape[-1]
    for name, fits in (
        ("bias", len(biases) in (0, 4 + (gate is not None))),
        ("output_gate", gate in (None, OutputGate(bias=bool(biases)))),
        ("window", window is None or window[0] == window[1]),
        ("value_dim", not grouped or layer.value_dim == layer.head_dim),
        ("out_dim", not grouped or out_dim == layer.dim),
        ("context_dim", not grouped or layer.context_dim == layer.values_dim),
    ):
        if not fits:
            raise ValueError(f"{name}: Keras' layer has no such setting as that of this one")
    options = {
        "use_bias": bool(biases),
        "sliding_window": None if window is None else window[0] + 1,
        "use_gate": gate is not None,
        "dtype": str(held["out.kernel"].dtype),
    }
    if grouped:
        sizes = {"head_dim": layer.head_dim, "num_query_heads": layer.heads}
        theirs = keras.layers.GroupQueryAttention(**sizes, num_key_value_heads=layer.kv_heads, **options)
    else:
        sizes = {"num_heads": layer.heads, "key_dim": layer.head_dim, "value_dim": layer.value_dim}
        theirs = keras.layers.MultiHeadAttention(
            **sizes, output_shape=None if out_dim == layer.dim else out_dim, **options
        )
    theirs.build((None, None, layer.dim), (None, None, layer.values_dim), (None, None, layer.context_dim))
    for weight in theirs.weights:
        part, kind = weight.path.split("/")[-2:]
        weight.assign(held[f"{_NAMES[part]}.{kind}"])
    return theirs
