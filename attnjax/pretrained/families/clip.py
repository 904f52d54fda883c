"""CLIP: images and texts in one space.

References:
  Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
  arXiv:2103.00020.
"""

from typing import Any

from attnjax.models.encoder_config import EncoderConfig
from attnjax.models.image_and_text import ContrastiveModel
from attnjax.models.vision_config import ContrastiveConfig, VisionConfig
from attnjax.pretrained.families._shared import UNGATED, layer_norm, linear, name_of
from attnjax.pretrained.families._vision import channels_last
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

_TEXT = {"dim": 512, "hidden": 2048, "layers": 12, "heads": 8}
_IMAGE = {"dim": 768, "hidden": 3072, "layers": 12, "heads": 12}
"""The sizes of those whose config.json leaves them out."""
_SIZES = {
    "dim": "hidden_size",
    "hidden": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
}


def _read(keys: Keys, tensors: Tensors) -> tuple[ContrastiveConfig, dict[str, Any]]:
    keys.ignore("logit_scale_init_value")
    for name in ("text_config_dict", "vision_config_dict"):
        keys.only(name)
    text = Keys(keys.take("text_config", kind=dict), f"{keys.label}: text_config")
    image = Keys(keys.take("vision_config", kind=dict), f"{keys.label}: vision_config")
    config = ContrastiveConfig(
        EncoderConfig(
            **_tower(text, _TEXT),
            positions="learned",
            max_length=text.take("max_position_embeddings", 77),
            embedding_scale=1.0,
            causal=True,
            pooling="last",
        ),
        VisionConfig(
            **_tower(image, _IMAGE),
            image=image.take("image_size", 224),
            patch=image.take("patch_size", 32),
            channels=image.take("num_channels", 3),
            patch_bias=False,
            embedding_norm=True,
        ),
        keys.take("projection_dim", 512),
    )
    vocab = text.take("vocab_size", 49408)
    text.finish()
    image.finish()
    return config, {"vocab": vocab}


def _tower(keys: Keys, sizes: dict[str, int]) -> dict[str, Any]:
    keys.ignore("projection_dim")
    return {ours: keys.take(name, sizes[ours]) for ours, name in _SIZES.items()} | {
        "norm_eps": float(keys.take("layer_norm_eps", 1e-5, kind=float)),
        "activation": keys.choice("hidden_act", UNGATED, "quick_gelu"),
    }


def _write(model: ContrastiveModel) -> dict[str, Any]:
    filled = model.config.filled()
    text, image = (
        {name: getattr(config, ours) for ours, name in _SIZES.items()}
        | {"layer_norm_eps": config.norm_eps, "hidden_act": name_of(config.activation, UNGATED)}
        for config in (filled.text, filled.image)
    )
    text |= {
        "max_position_embeddings": filled.text.max_length,
        "vocab_size": model.text.embedding.tokens.num_embeddings,
        "model_type": "clip_text_model",
    }
    image |= {
        "image_size": filled.image.image,
        "patch_size": filled.image.patch,
        "num_channels": filled.image.channels,
        "model_type": "clip_vision_model",
    }
    return {"text_config": text, "vision_config": image, "projection_dim": filled.width}


def _table(model: ContrastiveModel) -> list[Entry]:
    image = model.config.image
    kernel = (image.dim, image.channels, image.patch, image.patch)
    embeddings = "vision_model.embeddings"
    return [
        Entry("logit_scale", "scale"),
        Entry("text_projection.weight", "text_projection.kernel"),
        Entry("visual_projection.weight", "image_projection.kernel"),
        Entry("text_model.embeddings.token_embedding.weight", "text.embedding.tokens.embedding"),
        Entry("text_model.embeddings.position_embedding.weight", "text.embedding.table.embedding"),
        *layer_norm("text_model.final_layer_norm", "text.norm"),
        *_layers("text_model", "text", model.config.text.layers),
        Entry(f"{embeddings}.class_embedding", "image.class_token"),
        Entry(f"{embeddings}.position_embedding.weight", "image.positions"),
        Entry(f"{embeddings}.patch_embedding.weight", "image.patches.project.kernel", channels_last, kernel),
        *layer_norm("vision_model.pre_layrnorm", "image.embedding_norm"),
        *layer_norm("vision_model.post_layernorm", "image.norm"),
        *_layers("vision_model", "image", image.layers),
    ]


def _layers(disk: str, ours: str, layers: int) -> list[Entry]:
    layer, block = f"{disk}.encoder.layers.{{i}}", f"{ours}.blocks.{{i}}"
    entries = []
    for letter, name in {"q": "query", "k": "key", "v": "value", "out": "out"}.items():
        entries += linear(f"{layer}.self_attn.{letter}_proj", f"{block}.attention.{name}")
    entries += layer_norm(f"{layer}.layer_norm1", f"{block}.attention_residual.norm")
    entries += layer_norm(f"{layer}.layer_norm2", f"{block}.feed_forward_residual.norm")
    entries += linear(f"{layer}.mlp.fc1", f"{block}.feed_forward.up")
    entries += linear(f"{layer}.mlp.fc2", f"{block}.feed_forward.down")
    return repeated(entries, layers)


FAMILY = Family(
    "clip",
    _read,
    _write,
    _table,
    ContrastiveModel,
    peer="CLIPModel",
    ignored=(r"(?:text|vision)_model\.embeddings\.position_ids",),
)
