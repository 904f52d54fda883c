"""DINOv2, without registers.

References:
  Oquab et al., DINOv2, 2023, arXiv:2304.07193.
"""

from typing import Any

from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import VisionConfig
from attnjax.pretrained.families import _vision as vision
from attnjax.pretrained.families._shared import layer_norm, linear
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[VisionConfig, dict[str, Any]]:
    # Which features a backbone hands on, and how deep layers are left out in training.
    keys.ignore("out_features", "out_indices", "stage_names", "reshape_hidden_states", "drop_path_rate")
    keys.only("apply_layernorm", True)
    keys.only("use_swiglu_ffn", False)
    labelled = "classifier.weight" in tensors
    return vision.read_vision(
        keys,
        tensors,
        hidden=int(keys.take("hidden_size") * keys.take("mlp_ratio", 4, kind=(int, float))),
        norm_eps=float(keys.take("layer_norm_eps", 1e-6, kind=float)),
        layer_scale=float(keys.take("layerscale_value", 1.0, kind=float)),
        mask_token=keys.take("use_mask_token", True),
        pooling="both" if labelled else "class",
    )


def _write(model: VisionTransformer) -> dict[str, Any]:
    config = model.config
    own = {
        "mlp_ratio": config.hidden_dim / config.dim,
        "layerscale_value": config.layer_scale,
        "use_mask_token": config.mask_token,
    }
    name = "Dinov2Model" if config.labels is None else "Dinov2ForImageClassification"
    return vision.write_vision(model) | own | {"architectures": [name]}


def _table(model: VisionTransformer) -> list[Entry]:
    config, layer, block = model.config, "dinov2.encoder.layer.{i}", "blocks.{i}"
    parts = [
        *vision.attention(f"{layer}.attention", model),
        *layer_norm(f"{layer}.norm1", f"{block}.attention_residual.norm"),
        Entry(f"{layer}.layer_scale1.lambda1", f"{block}.attention_residual.scale.scale"),
        *layer_norm(f"{layer}.norm2", f"{block}.feed_forward_residual.norm"),
        Entry(f"{layer}.layer_scale2.lambda1", f"{block}.feed_forward_residual.scale.scale"),
        *linear(f"{layer}.mlp.fc1", f"{block}.feed_forward.up"),
        *linear(f"{layer}.mlp.fc2", f"{block}.feed_forward.down"),
    ]
    entries = [*vision.embeddings("dinov2.embeddings", model), *layer_norm("dinov2.layernorm", "norm")]
    if config.mask_token:
        shape = (1, config.dim)
        entries.append(Entry("dinov2.embeddings.mask_token", "mask_token", shape=shape))
    if config.labels is not None:
        entries += linear("classifier", "head")
    return [*entries, *repeated(parts, config.layers)]


FAMILY = Family("dinov2", _read, _write, _table, VisionTransformer, peer="Dinov2Model", prefix="dinov2.")
