"""What families of encoders of images share: their keys, patches, tokens and layers."""

from typing import Any

import numpy as np

from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import VisionConfig
from attnjax.pretrained.families._encoder import read_labels, write_labels
from attnjax.pretrained.families._shared import UNGATED, linear, name_of
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors


def read_vision(keys: Keys, tensors: Tensors, **changes: Any) -> tuple[VisionConfig, dict[str, Any]]:
    """Returns the config of an encoder of images; `changes`: what is different in the family."""
    keys.ignore("encoder_stride")
    settings: dict[str, Any] = {
        "dim": keys.take("hidden_size"),
        "heads": keys.take("num_attention_heads"),
        "layers": keys.take("num_hidden_layers"),
        "image": side(keys, "image_size"),
        "patch": side(keys, "patch_size"),
        "channels": keys.take("num_channels", 3),
        "norm_eps": float(keys.take("layer_norm_eps", 1e-12, kind=float)),
        "activation": keys.choice("hidden_act", UNGATED, "gelu"),
        "attention_bias": None if keys.take("qkv_bias", True) else "out",
    }
    if "classifier.weight" in tensors:
        settings["labels"] = read_labels(keys)
    return VisionConfig(**settings | changes), {}


def write_vision(model: VisionTransformer) -> dict[str, Any]:
    """Returns what `read_vision` reads as the config of a model."""
    config = model.config
    return {
        "hidden_size": config.dim,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "image_size": config.image,
        "patch_size": config.patch,
        "num_channels": config.channels,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": name_of(config.activation, UNGATED),
        "qkv_bias": config.attention_bias != "out",
    } | ({} if config.labels is None else write_labels(config.labels))


def embeddings(disk: str, model: VisionTransformer) -> list[Entry]:
    """Returns the entries of patches, class token and positions."""
    config = model.config
    kernel = (config.dim, config.channels, config.patch, config.patch)
    patches = f"{disk}.patch_embeddings.projection"
    assert model.positions is not None
    return [
        Entry(f"{patches}.weight", "patches.project.kernel", channels_last, kernel),
        Entry(f"{patches}.bias", "patches.project.bias"),
        Entry(f"{disk}.cls_token", "class_token", shape=(1, 1, config.dim)),
        Entry(f"{disk}.position_embeddings", "positions", shape=(1, *model.positions.shape)),
    ]


def attention(disk: str, model: VisionTransformer) -> list[Entry]:
    """Returns the entries of the attention of a layer {i}."""
    biased = model.blocks[0].attention.query.bias is not None
    entries = linear(f"{disk}.output.dense", "blocks.{i}.attention.out")
    for name in ("query", "key", "value"):
        entries += linear(f"{disk}.attention.{name}", f"blocks.{{i}}.attention.{name}", bias=biased)
    return entries


def channels_last(x: np.ndarray) -> np.ndarray:
    """Returns the view of a kernel of patches (out, channels, y, x) as (out, y, x, channels)."""
    return x.transpose(0, 2, 3, 1)


def side(keys: Keys, name: str, default: int | None = None) -> int:
    """Returns the side of a square; the default where the config does not say."""
    given = keys.optional(name, (int, list))
    if isinstance(given, list) and len(given) == 2 and given[0] == given[1]:
        return int(given[0])
    return int(keys.take(name, default, kind=int))
