"""DETR over a ResNet against transformers."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from attnjax.pretrained import from_pretrained
from attnjax.pretrained.family import find
from attnjax.pretrained.verify import first_of, verify
from tests.daily import daily
from tests.pretrained import peers
from tests.pretrained.bugs import Bug, Values, every, exchanged, turned
from tests.pretrained.peers import TOLERANCE, Case, Ours, difference, loaded, saved, torch, uncaught


class Detector(Case):
    """A detector, whose sizes are its own."""

    sizes: ClassVar[Mapping[str, Any]] = {}


def backbone(**changes: Any) -> dict[str, Any]:
    sizes = {"embedding_size": 4, "hidden_sizes": [8, 12], "depths": [2, 1], "out_features": ["stage2"]}
    return {"model_type": "resnet"} | sizes | changes


SIZES = {
    "use_timm_backbone": False,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_queries": 5,
    "num_labels": 3,
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 20 for side in ("encoder", "decoder")},
}
WEIGHTS: Mapping[str, Bug] = {
    "heads reversed": every("attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("attention.query.kernel", turned),
    "key and value exchanged": exchanged("cross_attention.key.kernel", "cross_attention.value.kernel"),
    "no bias of queries": every("attention.query.bias", np.zeros_like),
    "kernels on their side": every("convolution.kernel", lambda x: x.swapaxes(0, 1)),
    "no means of the backbone": every("norm.mean", np.zeros_like),
    "no variances of the backbone": every("norm.variance", np.ones_like),
    "no short cuts": every("shortcut.convolution.kernel", np.zeros_like),
    "queries one further": every("queries", lambda x: np.roll(x, 1, 0)),
    "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
    "corners and sizes exchanged": every("boxes.2.kernel", lambda x: np.roll(x, 2, 1)),
}
CASES = {
    "bottleneck": Detector(
        "DetrForObjectDetection",
        SIZES | {"backbone_config": backbone()},
        {"stride of the first": {"backbone": {"early_stride": True}}},
        WEIGHTS,
    ),
    "basic": Detector("DetrForObjectDetection", SIZES | {"backbone_config": backbone(layer_type="basic")}),
}
IMAGES = np.random.default_rng(1).normal(size=(2, 40, 56, 3)).astype("float32")
REAL = np.ones(IMAGES.shape[:3], bool)
REAL[1, 30:], REAL[1, :, 33:] = False, False
"""The second image is smaller than the first."""


def answers(model: Any) -> Values:
    """What the model of transformers says."""
    with torch.no_grad():
        out = model(
            torch.tensor(IMAGES.transpose(0, 3, 1, 2)),
            pixel_mask=torch.tensor(REAL),
            output_attentions=True,
            output_hidden_states=True,
        )
    found = {"logits": out.logits, "boxes": out.pred_boxes}
    for side, first in (("encoder", "source_embedding"), ("decoder", "")):
        hidden, last = out[f"{side}_hidden_states"], f"{side}_norm" if side == "decoder" else f"{side}.1"
        found |= dict(zip((first, f"{side}.0", last), hidden, strict=True))
        found |= {f"{side}.{i}.attention": w for i, w in enumerate(out[f"{side}_attentions"])}
    found |= {f"decoder.{i}.cross_attention": w for i, w in enumerate(out.cross_attentions)}
    del found[""]  # The objects begin as zeros.
    return {name: x.double().numpy() for name, x in found.items()}


class OurDetector(Ours):
    """A detector of ours."""

    def answers(self, bug: Bug | None = None) -> Values:
        return self.told(bug, IMAGES, mask=REAL)


@pytest.mark.parametrize("name", daily(CASES, ["bottleneck"]))
def test_family(name: str, tmp_path) -> None:
    """Labels, boxes, attention and vectors of images of two sizes, every bug, and the way back."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = OurDetector(model), answers(theirs)
    size, where = difference(ours.answers(), expected)
    assert size <= TOLERANCE["float32"], where
    assert uncaught(ours, case, expected) == {}
    as_it_came, _ = saved(model, "detr", tmp_path / "theirs", tmp_path)
    if name == "bottleneck":
        assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0
        if peers.EVERYTHING:
            assert first_of(verify(as_it_came)) is None


def test_names_of_timm_are_those_of_the_table() -> None:
    """The files of DETR's authors have them."""
    place = "model.backbone.conv_encoder.model"
    names = {
        "conv1.weight": "embedder.embedder.convolution.weight",
        "bn1.running_var": "embedder.embedder.normalization.running_var",
        "layer1.0.conv1.weight": "encoder.stages.0.layers.0.layer.0.convolution.weight",
        "layer4.2.bn3.bias": "encoder.stages.3.layers.2.layer.2.normalization.bias",
        "layer2.0.downsample.0.weight": "encoder.stages.1.layers.0.shortcut.convolution.weight",
        "layer2.0.downsample.1.running_mean": "encoder.stages.1.layers.0.shortcut.normalization.running_mean",
    }
    found = find("detr", "").in_table(f"{place}.{name}" for name in names)
    assert list(found.values()) == [f"{place}.{name}" for name in names.values()]
