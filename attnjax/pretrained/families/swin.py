"""Swin.

References:
  Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021, arXiv:2103.14030.
"""

from typing import Any

from attnjax.models.swin import SwinTransformer
from attnjax.models.swin_config import SwinConfig
from attnjax.pretrained.families import _vision as vision
from attnjax.pretrained.families._encoder import read_labels, write_labels
from attnjax.pretrained.families._shared import UNGATED, layer_norm, linear, name_of
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

_EMBEDDINGS = "swin.embeddings"
_POSITIONS, _MASK = f"{_EMBEDDINGS}.position_embeddings", f"{_EMBEDDINGS}.mask_token"
_COMPUTED = r"swin\.encoder\.layers\.\d+\.blocks\.\d+\.attention\.self\.relative_position_index"


def _read(keys: Keys, tensors: Tensors) -> tuple[SwinConfig, dict[str, Any]]:
    keys.ignore("encoder_stride", "drop_path_rate", "out_features", "out_indices", "stage_names")
    keys.ignore("hidden_size", "num_layers", "path_norm")  # They follow from the others, or are of nobody.
    depths = tuple(keys.take("depths", [2, 2, 6, 2]))
    config = SwinConfig(
        dim=keys.take("embed_dim", 96),
        depths=depths,
        heads=tuple(keys.take("num_heads", [3, 6, 12, 24])),
        window=keys.take("window_size", 7),
        image=vision.side(keys, "image_size", 224),
        patch=vision.side(keys, "patch_size", 4),
        channels=keys.take("num_channels", 3),
        hidden_ratio=float(keys.take("mlp_ratio", 4.0, kind=float)),
        norm_eps=float(keys.take("layer_norm_eps", 1e-5, kind=float)),
        activation=keys.choice("hidden_act", UNGATED, "gelu"),
        attention_bias="all" if keys.take("qkv_bias", True) else "out",
        positions="learned" if keys.take("use_absolute_embeddings", False) else "none",
        mask_token=_MASK in tensors,
        labels=read_labels(keys) if "classifier.weight" in tensors else None,
    )
    return config, {}


def _write(model: SwinTransformer) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["SwinModel" if config.labels is None else "SwinForImageClassification"],
        "embed_dim": config.dim,
        "depths": list(config.depths),
        "num_heads": list(config.heads),
        "window_size": config.window,
        "image_size": config.image,
        "patch_size": config.patch,
        "num_channels": config.channels,
        "mlp_ratio": config.hidden_ratio,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": name_of(config.activation, UNGATED),
        "qkv_bias": config.attention_bias == "all",
        "use_absolute_embeddings": config.positions == "learned",
    } | ({} if config.labels is None else write_labels(config.labels))


def _block(disk: str, ours: str, biased: bool) -> list[Entry]:
    attention, own = f"{disk}.attention", f"{ours}.attention"
    entries = [Entry(f"{attention}.self.relative_position_bias_table", f"{own}.bias")]
    for name in ("query", "key", "value"):
        entries += linear(f"{attention}.self.{name}", f"{own}.attention.{name}", bias=biased)
    return [
        *entries,
        *linear(f"{attention}.output.dense", f"{own}.attention.out"),
        *layer_norm(f"{disk}.layernorm_before", f"{ours}.attention_residual.norm"),
        *layer_norm(f"{disk}.layernorm_after", f"{ours}.feed_forward_residual.norm"),
        *linear(f"{disk}.intermediate.dense", f"{ours}.feed_forward.up"),
        *linear(f"{disk}.output.dense", f"{ours}.feed_forward.down"),
    ]


def _table(model: SwinTransformer) -> list[Entry]:
    config = model.config
    kernel = (config.dim, config.channels, config.patch, config.patch)
    patches = f"{_EMBEDDINGS}.patch_embeddings.projection"
    entries = [
        Entry(f"{patches}.weight", "patches.project.kernel", vision.channels_last, kernel),
        Entry(f"{patches}.bias", "patches.project.bias"),
        *layer_norm(f"{_EMBEDDINGS}.norm", "embedding_norm"),
        *layer_norm("swin.layernorm", "norm"),
    ]
    if model.positions is not None:
        entries.append(Entry(_POSITIONS, "positions", shape=(1, *model.positions.shape)))
    if config.mask_token:
        entries.append(Entry(_MASK, "mask_token", shape=(1, 1, config.dim)))
    if config.labels is not None:
        entries += linear("classifier", "head")
    first = 0
    for stage, depth in enumerate(config.depths):
        disk = f"swin.encoder.layers.{stage}"
        for i in range(depth):
            biased = config.attention_bias == "all"
            entries += _block(f"{disk}.blocks.{i}", f"blocks.{first + i}", biased)
        first += depth
        if stage < len(model.merges):
            entries += layer_norm(f"{disk}.downsample.norm", f"merges.{stage}.norm")
            entries += linear(f"{disk}.downsample.reduction", f"merges.{stage}.reduce", bias=False)
    return entries


FAMILY = Family(
    "swin", _read, _write, _table, SwinTransformer, peer="SwinModel", prefix="swin.", ignored=(_COMPUTED,)
)
