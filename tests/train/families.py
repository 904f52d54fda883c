"""A small model of each family in float64, its loss and a batch, in a process with eight devices of its own.

`python -m tests.train.families FAMILY... -- PRESET...` compares logits, gradients and a step under presets
with those of one device, and prints the largest difference of each pair.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.models import (
    Encoder,
    EncoderConfig,
    GraphConfig,
    GraphModel,
    HybridConfig,
    LanguageModel,
    LanguageModelConfig,
    Recommender,
    RecommenderConfig,
    RecurrentConfig,
    RecurrentEncoderDecoder,
    SwinConfig,
    SwinTransformer,
    TableConfig,
    TableTransformer,
    Transformer,
    TransformerConfig,
    VisionConfig,
    VisionTransformer,
)
from attnjax.nn import logical_axes
from attnjax.runs.devices import make_mesh
from attnjax.train.config import TrainConfig
from attnjax.train.mesh import PRESETS, REPLICATED, MeshShape
from attnjax.train.sharding import ShardingPlan
from attnjax.train.state import init_state
from attnjax.train.step import make_train_chunk, traced_values

DOUBLE: dict[str, Any] = {"dtype": "float64", "param_dtype": "float64"}
SMALL: dict[str, Any] = {"dim": 16, "heads": 4, "hidden": 24, **DOUBLE}
VOCAB, ROWS, LENGTH = 12, 16, 8
MESHES = {
    "replicated": MeshShape(data=8),
    "fsdp": MeshShape(data=2, fsdp=4),
    "tensor": MeshShape(data=2, model=2, context=2),
    "fsdp+tensor": MeshShape(data=2, fsdp=2, model=2),
    "context": MeshShape(context=4),
}
"""By preset, and sequences in shards alone, which is how layers take them on CPU (`axis_of_sequences`)."""
TRAIN = TrainConfig(
    steps=2,
    batch_size=ROWS,
    accumulate=2,
    warmup_steps=0,
    optimizer="sgd",
    learning_rate=0.1,
    dropout=0.2,
    clip_norm=1e9,
    ema_decay=0.9,
)
"""SGD keeps the gradient after the first step. Adam would divide by it, and some are 0 up to rounding."""


class Family(NamedTuple):
    """A model, and what it makes of a batch."""

    make: Callable[[nnx.Rngs], nnx.Module]
    call: Callable[..., Any]
    batch: Callable[[np.random.Generator], dict[str, np.ndarray]]
    tolerance: float = 1e-10


def tokens(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, VOCAB, (ROWS, LENGTH), dtype=np.int32)


def a_text(draw: np.random.Generator) -> dict[str, np.ndarray]:
    return {"tokens": tokens(draw), "lengths": draw.integers(3, LENGTH + 1, ROWS, dtype=np.int32)}


def two_texts(draw: np.random.Generator) -> dict[str, np.ndarray]:
    return {**a_text(draw), "target": tokens(draw)}


def images(draw: np.random.Generator) -> dict[str, np.ndarray]:
    return {"images": draw.normal(size=(ROWS, 8, 8, 3))}


def of_text(model: Any, batch: Any, **options: Any) -> Any:
    return model(batch["tokens"], lengths=batch["lengths"], **options).logits


def of_two_texts(model: Any, batch: Any, **options: Any) -> Any:
    return model(batch["tokens"], batch["lengths"], batch["target"], **options).logits


def of_images(model: Any, batch: Any, **options: Any) -> Any:
    return model(batch["images"], **options).logits


FAMILIES = {
    "language model": Family(
        lambda rngs: LanguageModel(
            LanguageModelConfig(**SMALL, layers=1, kv_heads=2, activation="swiglu"), vocab=VOCAB, rngs=rngs
        ),
        of_text,
        a_text,
    ),
    "recomputed, with experts": Family(
        lambda rngs: LanguageModel(
            LanguageModelConfig(**SMALL, layers=2, experts=2, active_experts=1, remat=True),
            vocab=VOCAB,
            rngs=rngs,
        ),
        of_text,
        a_text,
    ),
    "half precision": Family(
        lambda rngs: LanguageModel(
            LanguageModelConfig(dim=16, heads=4, hidden=24, layers=1, dtype="bfloat16"),
            vocab=VOCAB,
            rngs=rngs,
        ),
        of_text,
        a_text,
        tolerance=2e-2,
    ),
    "hybrid": Family(
        lambda rngs: LanguageModel(
            HybridConfig(**SMALL, layers=2, mechanism="gated_delta_net+softmax"), vocab=VOCAB, rngs=rngs
        ),
        of_text,
        a_text,
    ),
    "encoder": Family(
        lambda rngs: Encoder(
            EncoderConfig(**SMALL, layers=2, head="labels", pooling="mean", labels=3), vocab=VOCAB, rngs=rngs
        ),
        of_text,
        a_text,
    ),
    "encoder-decoder": Family(
        lambda rngs: Transformer(
            TransformerConfig(**SMALL, encoder_layers=1, decoder_layers=1),
            source_vocab=VOCAB,
            target_vocab=VOCAB,
            rngs=rngs,
        ),
        of_two_texts,
        two_texts,
    ),
    "recurrent": Family(
        lambda rngs: RecurrentEncoderDecoder(
            RecurrentConfig(dim=16, cell="gru"), source_vocab=VOCAB, target_vocab=VOCAB, rngs=rngs
        ),
        of_two_texts,
        two_texts,
        tolerance=1e-4,  # Its parameters are float32 at most.
    ),
    "vision": Family(
        lambda rngs: VisionTransformer(
            VisionConfig(**SMALL, layers=2, image=8, patch=2, pooling="mean", labels=3), rngs=rngs
        ),
        of_images,
        images,
    ),
    "swin": Family(
        lambda rngs: SwinTransformer(
            SwinConfig(image=8, patch=2, dim=8, heads=(2, 2), depths=(2, 1), window=2, labels=3, **DOUBLE),
            rngs=rngs,
        ),
        of_images,
        images,
    ),
    "graph": Family(
        lambda rngs: GraphModel(
            GraphConfig(**SMALL, layers=2, mechanism="gat", labels=3, pooling="mean"), kinds=4, rngs=rngs
        ),
        lambda model, batch, **options: (
            model(batch["nodes"], batch["edges"], lengths=batch["lengths"], **options).logits
        ),
        lambda draw: {
            "nodes": draw.integers(0, 4, (ROWS, 6), dtype=np.int32),
            "edges": draw.integers(0, 6, (ROWS, 2, 9), dtype=np.int32),
            "lengths": np.full(ROWS, 6, np.int32),
        },
    ),
    "table": Family(
        lambda rngs: TableTransformer(TableConfig(**SMALL, layers=2), (0, 3, 2), rngs=rngs),
        lambda model, batch, **options: model(batch["values"], **options).logits,
        lambda draw: {"values": draw.integers(0, 2, (ROWS, 3)).astype(np.float64)},
    ),
    "recommender": Family(
        lambda rngs: Recommender(RecommenderConfig(**SMALL, layers=2), items=VOCAB, rngs=rngs),
        lambda model, batch, **options: model(batch["tokens"], lengths=batch["lengths"], **options).states,
        a_text,
    ),
}


class Setting(NamedTuple):
    """What a family trains from."""

    forward: Callable[..., Any]
    loss: Callable[..., Any]
    params: Any
    axes: Any
    batches: dict[str, np.ndarray]


def setting_of(family: Family) -> Setting:
    """Returns the functions, the parameters off their initial values, and the batches [1, B, …]."""
    model = family.make(nnx.Rngs(0))
    graph, params = nnx.split(model, nnx.Param)
    draw = np.random.default_rng(1)
    moved = jax.tree.map(
        lambda x: jnp.asarray(x + 0.1 * draw.normal(size=x.shape), x.dtype),
        jax.tree.map(np.asarray, nnx.to_pure_dict(params)),
    )

    def forward(params: Any, batch: Any, **options: Any) -> Any:
        return family.call(nnx.merge(graph, params), batch, **options)

    def loss(params: Any, batch: Any, *, dropout: Any, hyper: Any) -> Any:
        found = forward(params, batch, dropout=dropout)
        value = jnp.mean(jnp.sin(3 * found))
        return value, {"loss": value, "weight": jnp.float32(len(found))}

    drawn = family.batch(np.random.default_rng(0))
    batches = {name: x[None] for name, x in drawn.items()}
    return Setting(forward, loss, moved, logical_axes(model), batches)


def outcome(setting: Setting, plan: ShardingPlan, config: TrainConfig = TRAIN) -> tuple[Any, Any]:
    """Returns logits, state with gradient, and metrics after an update; and the state as it lies."""
    chunk = make_train_chunk(setting.loss, config)

    def both(state: Any, batches: Any, traced: Any, key: Any) -> Any:
        logits = setting.forward(state.params, jax.tree.map(lambda x: x[0], batches))
        return logits, chunk(state, batches, traced, key)

    like = jax.eval_shape(lambda: init_state(setting.params, config))
    shardings = plan.state(like, like.params, setting.axes)
    state = jax.device_put(init_state(setting.params, config), shardings)
    run = jax.jit(both, out_shardings=(plan.replicated, (shardings, plan.replicated)))
    traced = jax.device_put(traced_values(config, {}), plan.replicated)
    with plan.tracing():
        lowered = run.lower(state, plan.put_batches(setting.batches), traced, jax.random.key(3))
    logits, (state, metrics) = lowered.compile()(
        state, plan.put_batches(setting.batches), traced, jax.device_put(jax.random.key(3), plan.replicated)
    )
    return jax.device_get((logits, state, metrics)), state


def difference(one: Any, other: Any) -> float:
    """Returns the largest difference of two trees, relative to the largest entry of each array beyond 1."""
    apart = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b)) / max(1, np.max(np.abs(a)))), one, other)
    return max(jax.tree.leaves(apart))


def pairs(state: Any, params: Any) -> zip:
    """Returns each parameter after the update, and before."""
    return zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True)


def main(names: list[str], presets: list[str]) -> None:
    """Compares each family under each preset with one device."""
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_enable_x64", True)
    for name in names:
        setting = setting_of(FAMILIES[name])
        alone, _ = outcome(setting, ShardingPlan(None, TRAIN))
        for preset in presets:
            rules = PRESETS.get(preset, REPLICATED)
            plan = ShardingPlan(make_mesh(MESHES[preset]), TRAIN, rules)
            plan.left_whole(setting.params, setting.axes)
            found, state = outcome(setting, plan)
            split = sum(not x.is_fully_replicated for x in jax.tree.leaves(state.params))
            apart = difference(alone, found)
            bad = apart > FAMILIES[name].tolerance or (split == 0) != (not rules)
            bad |= not all(x.dtype == like.dtype for x, like in pairs(state, setting.params))
            print(name, preset, f"{apart:.1e}", f"{split} split", "BAD" if bad else "good", flush=True)


if __name__ == "__main__":
    middle = sys.argv.index("--")
    main(sys.argv[1:middle], sys.argv[middle + 1 :])
