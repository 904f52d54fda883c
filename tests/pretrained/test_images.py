"""Encoders of images against transformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from attnjax.pretrained import from_pretrained, save_pretrained
from tests.pretrained.bugs import BIASED, BUGS, Bug, Values, every, exchanged
from tests.pretrained.peers import TOLERANCE, Case, Ours, contents, difference, loaded, saved, torch, uncaught

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
    "vit": Case(
        "ViTForImageClassification", SIZES | {"intermediate_size": 40}, SETTINGS, WEIGHTS, every_day=True
    ),
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


class OurEncoder(Ours):
    """An encoder of images of ours."""

    def answers(self, bug: Bug | None = None, *, pixels: np.ndarray | None = None) -> Values:
        return self.told(bug, images() if pixels is None else pixels)


@pytest.mark.parametrize("name", CASES)
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors, an image of another size, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = OurEncoder(model), answers(theirs, images())
    for pixels in (images(), images(12)):
        size, where = difference(ours.answers(pixels=pixels), answers(theirs, pixels))
        assert size <= TOLERANCE["float32"], (pixels.shape, where)
    assert uncaught(ours, case, expected) == {}
    as_it_came, _ = saved(model, name, tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came), images()), expected)[0] == 0


@pytest.mark.parametrize(("name", "peer"), [("vit", "ViTModel"), ("dinov2", "Dinov2Model")])
def test_without_a_head(name: str, peer: str, tmp_path) -> None:
    unbiased = {"num_hidden_layers": 1, "qkv_bias": False}
    theirs = Case(peer, CASES[name].fields | unbiased).theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    size, where = difference(OurEncoder(model).answers(), answers(theirs, images()))
    assert size <= TOLERANCE["float32"], where
    save_pretrained(model, tmp_path / "ours")
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
