"""Layers that lie stacked in the state: they are trained as if each had arrays of its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.nn import Dropout
from attnjax.nn.layer_names import one_by_one, stacked_as
from attnjax.tasks.beginning import beginning, flat, nested
from attnjax.train.adapter_config import AdapterConfig
from attnjax.train.adapters import adapted, axes_of, merged
from attnjax.train.checkpoint import Checkpoints
from attnjax.train.config import TrainConfig
from attnjax.train.frozen import frozen, require_matches
from attnjax.train.optimizer import decays, hyperparameters, init_optimizer, update_params
from attnjax.train.patterns import depth_of, layers_of
from attnjax.train.splitting import split_axes
from attnjax.train.state import init_state
from attnjax.train.step import make_train_step, traced_values

LAYERS = 4
SHAPES = {
    "attention.out.kernel": (2, 3, 5),
    "up.kernel": (5, 130),
    "up.bias": (130,),
    "norm.scale": (5,),
    "sink.logits": (3,),
}
NAMES = [f"blocks.0:4.{name}" for name in SHAPES] + ["wide.blocks.0:4.down.kernel", "embedding.tokens"]


def _array(number: int, shape: tuple[int, ...]) -> jax.Array:
    return jnp.cos(jnp.arange(np.prod(shape), dtype=jnp.float32) * (number + 1)).reshape(shape) / (number + 1)


SINGLE = nested(
    {f"blocks.{i}.{name}": _array(i, shape) for i in range(LAYERS) for name, shape in SHAPES.items()}
    # So large that Adafactor keeps its second moments by rows and columns.
    | {f"wide.blocks.{i}.down.kernel": _array(i, (128, 130)) for i in range(LAYERS)}
    | {"embedding.tokens": _array(5, (7, 5))}
)
STACKED = jax.tree.map(jnp.asarray, nested(stacked_as(NAMES, flat(SINGLE))))
CONFIG = TrainConfig(
    learning_rate=0.03, weight_decay=0.1, clip_norm=0.5, layer_decay=0.7, ema_decay=0.5,
    rate_patterns=("blocks.1.norm.*", "blocks.2.*"), rate_factors=(3.0, 0.2), undecayed=("embedding.*",),
)  # fmt: skip


def moved(params: Any, config: TrainConfig) -> dict[str, np.ndarray]:
    """The parameters after some updates, by the names that single layers give them."""
    hyper, state = hyperparameters(config), init_optimizer(params, config)

    @jax.jit
    def update(params: Any, state: Any, hyper: Any) -> Any:
        slopes = jax.tree.map(lambda x: jnp.cos(3 * x), params)
        return update_params(params, slopes, state, hyper, jnp.float32(0.03), config)

    for _ in range(3):
        params, state = update(params, state, hyper)
    return one_by_one(flat(params))


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "sgd", "muon", "adafactor"])
def test_each_layer_is_updated_as_by_itself(optimizer: Any) -> None:
    config = replace(CONFIG, optimizer=optimizer)
    got, expected = moved(STACKED, config), moved(SINGLE, config)
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=2e-4, atol=2e-6, err_msg=name)


def test_weight_decay_depth_and_what_stays_are_those_of_layers() -> None:
    def spread(flags: Any) -> dict[str, Any]:
        return one_by_one({name: np.full(len(SINGLE["blocks"]), flag) for name, flag in flat(flags).items()})

    config = TrainConfig(frozen=("blocks.*.up.*", "embedding.*"))
    for single, stacked in (
        (decays(SINGLE), decays(STACKED)),
        (frozen(SINGLE, config), frozen(STACKED, config)),
    ):
        expected = {name: bool(flag) for name, flag in flat(single).items()}
        assert {name: bool(np.all(flag)) for name, flag in spread(stacked).items()} == expected
        assert len(set(expected.values())) == 2
    assert layers_of(STACKED) == layers_of(SINGLE) == LAYERS
    assert depth_of("blocks.3.norm.scale", LAYERS) == 4


def test_patterns_that_tell_apart_what_one_array_holds_are_refused() -> None:
    require_matches(TrainConfig(frozen=("blocks.0.*", "blocks.[123].*")), STACKED)
    require_matches(TrainConfig(rate_patterns=("blocks.3.*",), rate_factors=(0.1,)), STACKED)
    for field in ("frozen", "undecayed"):
        with pytest.raises(InputError, match=r"blocks\.1\.\*: they tell apart .* model\.scan_layers keeps"):
            require_matches(TrainConfig(**{field: ("blocks.1.*",)}), STACKED)
    with pytest.raises(InputError, match=r"no parameter has such a name; one is 'blocks\."):
        require_matches(TrainConfig(frozen=("blocks.4.*",)), STACKED)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_adapters_begin_and_merge_as_those_of_layers(kind: Any) -> None:
    config = AdapterConfig(kind, ("*.kernel", "*.bias"), rank=2)
    found = {}
    for name, params in (("single", SINGLE), ("stacked", STACKED)):
        made = adapted(params, config, jax.random.key(3))
        changed = jax.tree.map(lambda x: x + jnp.sin(x), made)
        found[name] = one_by_one(flat(made)), one_by_one(flat(merged(changed)))
    jax.tree.map(np.testing.assert_array_equal, found["stacked"][0], found["single"][0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found["stacked"][1],
        found["single"][1],
    )
    kernel = made["blocks"]["0:4"]["attention"]["out"]["kernel"]
    axes = axes_of(kernel, ("layers", "heads", "head_dim", "embed"))
    assert axes[:3] == [
        ("layers", "heads", "head_dim", "embed"),
        ("layers", "heads", "head_dim", None),
        ("layers", None, "embed"),
    ]


def test_layers_are_split_only_by_a_rule_of_their_own() -> None:
    axes, shape, sizes = ("layers", "mlp"), (4, 3), {"fsdp": 2}
    assert split_axes({"*": "fsdp"}, sizes, axes, shape) == (None, None)
    assert split_axes({"*": "fsdp"}, sizes, axes, (4, 6)) == (None, "fsdp")
    assert split_axes({"layers": "fsdp"}, sizes, axes, shape) == ("fsdp", None)


def test_a_checkpoint_of_single_layers_goes_into_stacked_ones(tmp_path: Path) -> None:
    single, stacked = (
        jax.tree.map(lambda x: x + 1, init_state(params, CONFIG)) for params in (SINGLE, STACKED)
    )
    with Checkpoints(tmp_path, keep=2, mode="max") as checkpoints:
        for step, state in ((3, single), (4, stacked)):
            checkpoints.save(step, state)
    with Checkpoints(tmp_path, keep=2, mode="max") as checkpoints:
        for step in (3, 4):
            jax.tree.map(np.testing.assert_array_equal, checkpoints.load(step, stacked), stacked)


def test_parameters_are_given_to_stacked_layers_and_by_them() -> None:
    for source, like in ((SINGLE, STACKED), (STACKED, SINGLE)):
        found = beginning(flat(source), like, "source").params
        jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(np.asarray, like))
    lacking = {name: x for name, x in flat(SINGLE).items() if name != "blocks.1.up.bias"}
    with pytest.raises(InputError, match=r"1 places: blocks\.1\.up\.bias \[130\]: the source has none"):
        beginning(lacking, STACKED, "source")
    with pytest.raises(InputError, match=r"blocks\.0:4\.up\.bias: the source has some of its layers"):
        beginning(lacking, STACKED, "source", fresh=["*.bias"])


def test_a_whole_training_step_does_not_grow_with_the_layers() -> None:
    config = TrainConfig(ema_decay=0.5)

    def size(layers: int) -> int:
        shape = LanguageModelConfig(dim=8, heads=2, hidden=12, layers=layers, scan_layers=True)
        model = nnx.eval_shape(lambda: LanguageModel(shape, vocab=11, rngs=nnx.Rngs(0)))
        graph, params = nnx.split(model)

        def loss(params: Any, batch: Any, *, dropout: Dropout, hyper: Any) -> Any:
            value = jnp.mean(nnx.merge(graph, params)(batch["tokens"], dropout=dropout).logits)
            return value, {"loss": value, "weight": jnp.float32(2)}

        state = jax.eval_shape(lambda params: init_state(params, config), nnx.to_pure_dict(params))
        batch = {"tokens": jax.ShapeDtypeStruct((2, 5), jnp.int32)}
        values = jax.eval_shape(lambda: traced_values(config, {}))
        program = jax.make_jaxpr(make_train_step(loss, config))(state, batch, values, jax.random.key(0))
        return str(program).count("\n")

    assert size(8) == size(4)
