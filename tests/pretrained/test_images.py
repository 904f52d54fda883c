"""Encoders of images against transformers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import VisionTransformer
from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.table import parameters
from attnjax.pretrained.tensors import open_tensors
from tests.pretrained.peers import (
    BIASED,
    BUGS,
    CAUGHT,
    TOLERANCE,
    Bug,
    Case,
    Values,
    difference,
    every,
    exchanged,
    state_of,
    torch,
    transformers,
)

SIZES = {"vocab_size": None, "image_size": 8, "patch_size": 2, "num_channels": 3, "layer_norm_eps": 1e-2}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "other eps": {"norm_eps": 1e-6},
    "norms after layers": {"norm_placement": "post"},
    "tanh in GELU": {"activation": "gelu"},
    "no positions": {"positions": "none"},
}
WEIGHTS: Mapping[str, Bug] = {
    **BUGS,
    **BIASED,
    "patches lie on their side": every("patches.project.kernel", lambda x: x.swapaxes(0, 1)),
    "channels reversed": every("patches.project.kernel", lambda x: x[:, :, ::-1]),
    "positions one further": every("positions", lambda x: np.roll(x, 1, 0)),
    "grid on its side": every(
        "positions", lambda x: np.concatenate([x[:1], x[1:].reshape(4, 4, -1).swapaxes(0, 1).reshape(16, -1)])
    ),
    "no class token": every("class_token", np.zeros_like),
}
CASES = {
    "vit": Case("ViTForImageClassification", SIZES | {"intermediate_size": 40}, SETTINGS, WEIGHTS),
    "dinov2": Case(
        "Dinov2ForImageClassification",
        SIZES | {"mlp_ratio": 2},
        SETTINGS | {"no scale of layers": {"layer_scale": None}},
        WEIGHTS
        | {
            "scales exchanged": exchanged("attention_residual.scale", "feed_forward_residual.scale"),
            "halves of the head exchanged": every("head.kernel", lambda x: np.roll(x, len(x) // 2, 0)),
        },
    ),
}


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


def images(width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 8, width, 3)).astype("float32")


def answers(model: Any, pixels: np.ndarray) -> Values:
    """What the model of transformers says."""
    given: dict[str, Any] = {"pixel_values": torch.tensor(pixels.transpose(0, 3, 1, 2))}
    if model.config.model_type == "vit":
        given["interpolate_pos_encoding"] = True
    with torch.no_grad():
        out = model(**given, output_attentions=True, output_hidden_states=True)
    layers = model.config.num_hidden_layers
    names = ["embedding", *(f"blocks.{i}" for i in range(layers))]
    found = dict(zip(names, out.hidden_states, strict=True))
    found |= {f"blocks.{i}.attention": w for i, w in enumerate(out.attentions)}
    for name, key in {"logits": "logits", "pooled": "pooler_output", "norm": "last_hidden_state"}.items():
        if key in out:
            found[name] = out[key]
    return {name: x.numpy().astype("float64") for name, x in found.items()}


class Ours:
    """Our model, whose program is compiled once for all its parameters."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph, self.state = nnx.split(model)
        self._run = jax.jit(
            lambda state, pixels: nnx.merge(self.graph, state)(pixels, capture=Capture(hidden=True))
        )

    def answers(self, bug: Bug | None = None, *, pixels: np.ndarray | None = None) -> Values:
        state = self.state
        if bug is not None:
            values = {name: np.array(param[...]) for name, param in parameters(self.model).items()}
            state = state_of(self.model, bug(values))
        out = self._run(state, jnp.asarray(images() if pixels is None else pixels))
        found = {"pooled": out.pooled, **out.weights, **out.hidden}
        found |= {} if out.logits is None else {"logits": out.logits}
        return {name: np.asarray(x, np.float64) for name, x in found.items()}

    def with_settings(self, changes: Mapping[str, Any]) -> "Ours":
        """The same parameters in a model of another config, as far as it has them."""
        other = VisionTransformer(dataclasses.replace(self.model.config, **changes), rngs=nnx.Rngs(0))
        old = parameters(self.model)
        for name, param in parameters(other).items():
            if name in old:
                param[...] = old[name][...]
        return Ours(other)


@pytest.mark.parametrize("name", CASES)
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors, an image of another size, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = Ours(model), answers(theirs, images())
    for pixels in (images(), images(12)):
        size, where = difference(ours.answers(pixels=pixels), answers(theirs, pixels))
        assert size <= TOLERANCE["float32"], (pixels.shape, where)
    found = {bug: difference(ours.answers(plant), expected) for bug, plant in case.weights.items()}
    for bug, changes in case.settings.items():
        found[bug] = difference(ours.with_settings(changes).answers(), expected)
    assert {bug: at for bug, at in found.items() if not at[0] > CAUGHT} == {}
    save_pretrained(model, tmp_path / "ours")
    before, after = (open_tensors(tmp_path / folder) for folder in ("theirs", "ours"))
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in after.items()}
    again, loading = getattr(transformers, case.model).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(loading.values())
    assert difference(answers(again.eval(), images()), expected)[0] == 0
    model.origin = None  # As one of ours that a family is to be found for.
    save_pretrained(model, tmp_path / "own", family=name)
    own = open_tensors(tmp_path / "own")
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in own.items()}
    assert from_pretrained(tmp_path / "own").config.filled() == model.config.filled()


@pytest.mark.parametrize("model", ["ViTModel", "Dinov2Model"])
def test_without_a_head(model: str, tmp_path) -> None:
    name = "vit" if model == "ViTModel" else "dinov2"
    unbiased = {"num_hidden_layers": 1, "qkv_bias": False}
    theirs = Case(model, CASES[name].fields | unbiased, {}, {}).theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    found = Ours(from_pretrained(tmp_path / "theirs")).answers()
    size, where = difference(found, answers(theirs, images()))
    assert size <= TOLERANCE["float32"], where
    save_pretrained(from_pretrained(tmp_path / "theirs"), tmp_path / "ours")
    before, after = (open_tensors(tmp_path / folder) for folder in ("theirs", "ours"))
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in after.items()}
