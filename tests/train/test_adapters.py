"""Adapters equal their formulas, are all that moves, and leave no trace in what a run hands on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.train.adapter_config import AdapterConfig
from attnjax.train.adapters import Adapted, adapted, merged, unmerged
from attnjax.train.config import TrainConfig
from attnjax.train.frozen import frozen, require_matches
from attnjax.train.hashing import params_hash
from attnjax.train.loop import fit, load_params
from attnjax.train.optimizer import init_optimizer
from attnjax.train.patterns import name_of
from tests.train.toy import ToyTask

KERNELS = {"query": (4, 2, 3), "out": (2, 3, 4), "fc": (4, 5)}
INPUTS = {"query": 1, "out": 2, "fc": 1}
ADAPTER = AdapterConfig("lora", ("*.kernel",), rank=2, alpha=3.0)
TRAIN = TrainConfig(
    steps=12,
    batch_size=8,
    log_every=4,
    checkpoint_every=4,
    warmup_steps=2,
    learning_rate=0.05,
    adapter=replace(ADAPTER, trained=("out",)),
)


def draw(kind: str, dtype: Any = np.float64) -> dict[str, Any]:
    """Kernels with adapters whose changes are as large as they are."""
    rng = np.random.default_rng(0)
    params = {name: {"kernel": rng.normal(size=shape).astype(dtype)} for name, shape in KERNELS.items()}
    made = adapted(
        jax.tree.map(jnp.asarray, params),
        replace(ADAPTER, kind=kind),
        jax.random.key(1),  # type: ignore[arg-type]
    )
    return jax.tree.map(
        lambda x: Adapted(
            x.base,
            x.down,
            jnp.asarray(rng.normal(size=x.up.shape), x.up.dtype),
            None if x.magnitude is None else x.magnitude * 1.5,
            x.scale,
        ),
        made,
        is_leaf=lambda x: isinstance(x, Adapted),
    )


def literal(kernel: Adapted, inputs: int) -> np.ndarray:
    """The merged kernel by its formula, over matrices [inputs, outputs]."""
    base = np.asarray(kernel.base, np.float64)
    rows = int(np.prod(base.shape[:inputs]))
    down, up = (np.asarray(x, np.float64) for x in (kernel.down, kernel.up))
    whole = base.reshape(rows, -1) + kernel.scale * down.reshape(rows, -1) @ up.reshape(len(up), -1)
    if kernel.magnitude is not None:
        whole = np.asarray(kernel.magnitude, np.float64).reshape(-1) * whole / np.linalg.norm(whole, axis=0)
    return whole.reshape(base.shape)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_merged_layer_gives_what_the_formula_does_and_unmerged_has_the_bits_before(kind: str) -> None:
    with jax.enable_x64(True):
        params = draw(kind)
        for name, own in params.items():
            kernel, inputs = own["kernel"], INPUTS[name]
            x = np.random.default_rng(1).normal(size=(3, *KERNELS[name][:inputs]))
            found = np.tensordot(x, np.asarray(merged(own)["kernel"]), inputs)
            np.testing.assert_allclose(found, np.tensordot(x, literal(kernel, inputs), inputs), rtol=1e-12)
            if kind == "lora":  # As layers: the change is a path of its own beside the kernel.
                beside = np.tensordot(np.tensordot(x, kernel.down, inputs), kernel.up, 1)
                apart = np.tensordot(x, kernel.base, inputs) + 1.5 * beside
                np.testing.assert_allclose(found, apart, rtol=1e-12)
            assert np.abs(literal(kernel, inputs) - kernel.base).max() > 0.1
            assert unmerged(own)["kernel"] is kernel.base


def test_an_adapter_changes_nothing_before_training() -> None:
    params = {"fc": {"kernel": jax.random.normal(jax.random.key(0), (4, 5), jnp.bfloat16)}}
    for kind, tolerance in (("lora", 0.0), ("dora", 2**-8)):
        made = adapted(params, replace(ADAPTER, kind=kind), jax.random.key(1))["fc"]["kernel"]  # type: ignore[arg-type]
        assert made.down.dtype == made.up.dtype == jnp.float32
        again = merged(made)
        assert again.dtype == jnp.bfloat16
        np.testing.assert_allclose(again, params["fc"]["kernel"], rtol=tolerance)


def test_gradients_of_dora_take_the_lengths_as_constants() -> None:
    """dV = c·m/‖V‖ for a loss Σ c·W, as section 4.3 of the paper has it."""
    with jax.enable_x64(True):
        kernel = draw("dora")["fc"]["kernel"]
        c = np.random.default_rng(2).normal(size=kernel.base.shape)
        slope = jax.grad(lambda kernel: jnp.sum(c * merged(kernel)))(kernel)
        whole = np.asarray(kernel.base + kernel.scale * kernel.down @ kernel.up)
        lengths = np.linalg.norm(whole, axis=0)
        of_whole = c * np.asarray(kernel.magnitude) / lengths
        np.testing.assert_allclose(slope.up, kernel.scale * kernel.down.T @ of_whole, rtol=1e-10)
        np.testing.assert_allclose(slope.magnitude, (c * whole / lengths).sum(0), rtol=1e-10)


def test_what_is_frozen_has_no_state_in_the_optimiser() -> None:
    params = adapted(ToyTask().init(jax.random.key(0)), TRAIN.adapter, jax.random.key(1))
    stays = {name_of(path): flag for path, flag in jax.tree_util.tree_leaves_with_path(frozen(params, TRAIN))}
    moving = {name for name, flag in stays.items() if not flag}
    assert moving == {"hidden.kernel.down", "hidden.kernel.up", "out"}
    kept = {
        name_of(path).split(".mu.")[-1]
        for path, _ in jax.tree_util.tree_leaves_with_path(init_optimizer(params, TRAIN))
        if ".mu." in name_of(path)
    }
    assert kept == moving


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return fit(ToyTask(), TRAIN, seed=0, folder=folder, observers=()), folder


def test_a_run_hands_on_plain_parameters_of_which_the_adapted_ones_moved(whole: Any) -> None:
    fitted, folder = whole
    before = ToyTask().init(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0))
    assert jax.tree.map(jnp.shape, fitted.params) == jax.tree.map(jnp.shape, before)
    moved = {
        name_of(path): bool(np.any(a != b))
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(fitted.params), jax.tree.leaves(before), strict=True
        )
    }
    assert moved == {"embed": False, "hidden.bias": False, "hidden.kernel": True, "out": True}
    change = np.asarray(fitted.params["hidden"]["kernel"] - before["hidden"]["kernel"])
    assert np.linalg.matrix_rank(change, tol=1e-4 * np.abs(change).max()) == ADAPTER.rank
    assert params_hash(load_params(ToyTask(), TRAIN, folder=folder)) == params_hash(fitted.params)


def test_a_run_with_adapters_that_was_killed_ends_in_the_same_bits(whole: Any, tmp_path: Path) -> None:
    class Dies(ToyTask):
        def batch(self, step: int) -> Any:
            if step == 9:
                raise OSError("killed")
            return super().batch(step)

    with pytest.raises(OSError, match="killed"):
        fit(Dies(), TRAIN, seed=0, folder=tmp_path, observers=())
    again = fit(ToyTask(), TRAIN, seed=0, folder=tmp_path, observers=())
    assert again.resumed_from > 0
    assert params_hash(again.params) == params_hash(whole[0].params)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (
            {"patterns": ("*.kernal",)},
            "train.adapter.patterns has '*.kernal': no matrix has such a name; one is",
        ),
        ({"patterns": ("*.bias",)}, "train.adapter.patterns has '*.bias': no matrix has such a name"),
        ({"trained": ("head.*",)}, "train.adapter.trained has 'head.*': no parameter has such a name"),
        ({"rank": 0}, "train.adapter.rank is 0: it must be an integer of 1 or more"),
        ({"kind": "qlora"}, "train.adapter.kind is 'qlora': it must be one of none, lora, dora"),
        ({"alpha": -1.0}, "train.adapter.alpha is -1.0: it must be a number above 0"),
        ({"kind": "none", "trained": ("out",)}, "train.adapter.trained is out: it needs train.adapter.kind"),
    ],
)
def test_adapters_that_cannot_be_are_refused(adapter: dict[str, Any], message: str) -> None:
    shapes = jax.eval_shape(ToyTask().init, jax.random.key(0))
    with pytest.raises(InputError) as caught:
        require_matches(TrainConfig(adapter=replace(ADAPTER, **adapter)), shapes)
    assert message in str(caught.value)
