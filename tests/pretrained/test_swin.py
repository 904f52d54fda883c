"""Swin against transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from attnjax.pretrained import from_pretrained
from attnjax.pretrained.verify import first_of, verify
from tests.pretrained import peers
from tests.pretrained.bugs import Bug, Values, every, exchanged, turned
from tests.pretrained.peers import CAUGHT, TOLERANCE, Case, Ours, difference, loaded, saved, torch, uncaught


class Images(Case):
    """An encoder of images, whose sizes are its own."""

    sizes: ClassVar[Mapping[str, Any]] = {}


CASE = Images(
    "SwinForImageClassification",
    {
        "image_size": 24,
        "patch_size": 2,
        "embed_dim": 8,
        "depths": [2, 1],
        "num_heads": [2, 4],
        "window_size": 5,
        "mlp_ratio": 2.0,
        "layer_norm_eps": 1e-2,
        "use_absolute_embeddings": True,
    },
    {
        "other eps": {"norm_eps": 1e-6},
        "tanh in GELU": {"activation": "gelu"},
        "no table of positions": {"positions": "none"},
    },
    {
        "heads reversed": every("attention.attention.key.kernel", lambda x: x[:, ::-1]),
        "query not transposed": every("attention.attention.query.kernel", turned),
        "key and value exchanged": exchanged("attention.key.kernel", "attention.value.kernel"),
        "no bias of queries": every("attention.query.bias", np.zeros_like),
        "biases of places reversed": every("attention.bias", lambda x: x[::-1]),
        "biases of places on their side": every(
            "attention.bias", lambda x: x.reshape(9, 9, -1).swapaxes(0, 1).reshape(81, -1)
        ),
        "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
        "patches on their side": every("patches.project.kernel", lambda x: x.swapaxes(0, 1)),
        "neighbours row by row": every(
            "reduce.kernel", lambda x: x.reshape(2, 2, 8, -1).swapaxes(0, 1).reshape(32, -1)
        ),
        "no norm of patches": every("embedding_norm.scale", np.ones_like),
    },
)
IMAGES = np.random.default_rng(1).normal(size=(2, 24, 32, 3)).astype("float32")
"""Windows of 5 × 5 do not fill the grids, of 12 × 16 and 6 × 8, in either stage."""


def answers(model: Any) -> Values:
    """What the model of transformers says, whose blocks are asked one by one: it tells of stages only."""
    found, hooks = {}, []

    def told(name: str) -> Any:
        def hook(_: Any, inputs: Any, out: Any) -> None:
            found[name], weights = out
            grid = inputs[1] if len(inputs) > 1 else None
            rows = -(-(grid or (12, 16))[0] // 5)
            found[f"{name}.attention"] = weights.reshape(2, -1, *weights.shape[1:]).unflatten(1, (rows, -1))

        return hook

    number = 0
    for stage in model.swin.encoder.layers:
        for block in stage.blocks:
            hooks.append(block.register_forward_hook(told(f"blocks.{number}")))
            number += 1
    with torch.no_grad():
        pixels = torch.tensor(IMAGES.transpose(0, 3, 1, 2))
        out = model(pixels, interpolate_pos_encoding=True, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    names = ["embedding", *(f"stages.{i}" for i in range(len(model.config.depths)))]
    found |= dict(zip(names, out.hidden_states, strict=True)) | {"logits": out.logits}
    return {name: x.double().numpy() for name, x in found.items()}


def with_other_windows(folder: Path, **changes: Any) -> "OurSwin":
    """The model of a folder, whose windows have other fixed attributes."""
    model: Any = from_pretrained(folder)
    for block in model.blocks:
        for name, value in changes.items():
            setattr(block.attention, name, value)
    return OurSwin(model)


class OurSwin(Ours):
    """An encoder of images of ours."""

    def answers(self, bug: Bug | None = None) -> Values:
        return self.told(bug, IMAGES)


def test_family(tmp_path) -> None:
    """Logits, attention and vectors of every block, every bug, and the way back bit for bit."""
    theirs = CASE.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = OurSwin(model), answers(theirs)
    size, where = difference(ours.answers(), expected)
    assert size <= TOLERANCE["float32"], where
    assert uncaught(ours, CASE, expected) == {}
    for changes in ({"shift": 0}, {"sees_padding": False})[: 2 if peers.EVERYTHING else 1]:
        other = with_other_windows(tmp_path / "theirs", **changes)
        assert difference(other.answers(), expected)[0] > CAUGHT, changes
    as_it_came, _ = saved(model, "swin", tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0
    assert first_of(verify(as_it_came)) is None
