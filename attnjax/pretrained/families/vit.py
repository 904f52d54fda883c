"""Vision Transformers.

References:
  Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929.
"""

from typing import Any

from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import VisionConfig
from attnjax.pretrained.families import _vision as vision
from attnjax.pretrained.families._shared import UNGATED, layer_norm, linear, name_of
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

POOLER = "vit.pooler.dense"


def _read(keys: Keys, tensors: Tensors) -> tuple[VisionConfig, dict[str, Any]]:
    activation = keys.choice("pooler_act", UNGATED, "tanh")
    keys.only("pooler_output_size", keys.take("hidden_size"))
    return vision.read_vision(
        keys,
        tensors,
        hidden=keys.take("intermediate_size"),
        pooler=activation if f"{POOLER}.weight" in tensors else None,
        mask_token="vit.embeddings.mask_token" in tensors,
    )


def _write(model: VisionTransformer) -> dict[str, Any]:
    config = model.config
    own: dict[str, Any] = {"intermediate_size": config.hidden_dim}
    if config.pooler is not None:
        own["pooler_act"] = name_of(config.pooler, UNGATED)
    name = "ViTModel" if config.labels is None else "ViTForImageClassification"
    return vision.write_vision(model) | own | {"architectures": [name]}


def _table(model: VisionTransformer) -> list[Entry]:
    config, layer = model.config, "vit.encoder.layer.{i}"
    block = [
        *vision.attention(f"{layer}.attention", model),
        *layer_norm(f"{layer}.layernorm_before", "blocks.{i}.attention_residual.norm"),
        *layer_norm(f"{layer}.layernorm_after", "blocks.{i}.feed_forward_residual.norm"),
        *linear(f"{layer}.intermediate.dense", "blocks.{i}.feed_forward.up"),
        *linear(f"{layer}.output.dense", "blocks.{i}.feed_forward.down"),
    ]
    entries = [*vision.embeddings("vit.embeddings", model), *layer_norm("vit.layernorm", "norm")]
    if config.mask_token:
        shape = (1, 1, config.dim)
        entries.append(Entry("vit.embeddings.mask_token", "mask_token", shape=shape))
    if config.pooler is not None:
        entries += linear(POOLER, "pooler")
    if config.labels is not None:
        entries += linear("classifier", "head")
    return [*entries, *repeated(block, config.layers)]


FAMILY = Family("vit", _read, _write, _table, VisionTransformer, peer="ViTModel", prefix="vit.")
