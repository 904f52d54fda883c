"""DETR over a ResNet, for the detection of objects.

References:
  Carion et al., End-to-End Object Detection with Transformers, 2020, arXiv:2005.12872.
"""

from typing import Any

from attnjax.models.detr import Detr
from attnjax.models.detr_config import DetrConfig, ResNetConfig
from attnjax.pretrained.families import _seq2seq as seq2seq
from attnjax.pretrained.families._encoder import read_labels, write_labels
from attnjax.pretrained.families._shared import layer_norm, linear
from attnjax.pretrained.families._vision import channels_last
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

_BACKBONE = "model.backbone.conv_encoder.model"
_OF_LOSS = (
    *("class_cost", "bbox_cost", "giou_cost", "eos_coefficient", "init_std", "init_xavier_std"),
    *(f"{name}_loss_coefficient" for name in ("mask", "dice", "bbox", "giou", "cls")),
    *("encoder_layerdrop", "decoder_layerdrop"),
)
_BASIC, _BOTTLENECK = (64, 128, 256, 512), (256, 512, 1024, 2048)
_KNOWN = {
    "resnet18": ResNetConfig(widths=_BASIC, depths=(2, 2, 2, 2), bottleneck=False),
    "resnet34": ResNetConfig(widths=_BASIC, depths=(3, 4, 6, 3), bottleneck=False),
    "resnet50": ResNetConfig(widths=_BOTTLENECK, depths=(3, 4, 6, 3)),
    "resnet101": ResNetConfig(widths=_BOTTLENECK, depths=(3, 4, 23, 3)),
}
"""Networks that timm has by name."""
_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
_OF_TIMM = (
    (rf"^({_BACKBONE})\.conv1\.", r"\1.embedder.embedder.convolution."),
    (rf"^({_BACKBONE})\.bn1\.", r"\1.embedder.embedder.normalization."),
    *((rf"^({_BACKBONE})\.layer{n}\.", rf"\1.encoder.stages.{n - 1}.layers.") for n in range(1, 5)),
    *((rf"(stages\.\d+\.layers\.\d+)\.conv{n}\.", rf"\1.layer.{n - 1}.convolution.") for n in range(1, 4)),
    *((rf"(stages\.\d+\.layers\.\d+)\.bn{n}\.", rf"\1.layer.{n - 1}.normalization.") for n in range(1, 4)),
    (r"(stages\.\d+\.layers\.\d+)\.downsample\.0\.", r"\1.shortcut.convolution."),
    (r"(stages\.\d+\.layers\.\d+)\.downsample\.1\.", r"\1.shortcut.normalization."),
)
"""Names of a ResNet in timm, as the files of DETR's authors have them, and in transformers."""


def _read(keys: Keys, tensors: Tensors) -> tuple[DetrConfig, dict[str, Any]]:
    keys.ignore(*_OF_LOSS, "max_position_embeddings", "num_hidden_layers", "scale_embedding")
    keys.only("position_embedding_type", "sine")
    keys.only("auxiliary_loss", False)
    keys.only("dilation", False)
    keys.only("is_encoder_decoder", True)
    keys.only("activation_function", "relu")
    heads, hidden = (
        keys.take(f"encoder_{name}", default) for name, default in (("attention_heads", 8), ("ffn_dim", 2048))
    )
    keys.only("decoder_attention_heads", heads)
    keys.only("decoder_ffn_dim", hidden)
    config = DetrConfig(
        _read_backbone(keys),
        dim=keys.take("d_model", 256),
        heads=heads,
        hidden=hidden,
        encoder_layers=keys.take("encoder_layers", 6),
        decoder_layers=keys.take("decoder_layers", 6),
        queries=keys.take("num_queries", 100),
        labels=read_labels(keys),
    )
    return config, {}


def _read_backbone(keys: Keys) -> ResNetConfig:
    keys.ignore("use_timm_backbone", "use_pretrained_backbone")
    keys.only("num_channels", 3)
    outer = keys.choice("backbone", _KNOWN, "resnet50")
    kwargs = Keys(keys.optional("backbone_kwargs", dict) or {}, f"{keys.label}: backbone_kwargs")
    own = Keys(keys.optional("backbone_config", dict) or {}, f"{keys.label}: backbone_config")
    named = own.optional("model_type", str) != "resnet"
    for part in (kwargs, own) if named else (kwargs,):
        part.only("model_type", "timm_backbone")
        part.only("num_channels", 3)
        part.only("out_indices", [1, 2, 3, 4])
        part.only("output_stride", 32)
    if named:
        own.ignore("features_only", "use_pretrained_backbone", "freeze_batch_norm_2d", "out_features")
        own.ignore("stage_names", "is_encoder_decoder")
        found = own.choice("backbone", _KNOWN, "resnet50") if own.raw else outer
    else:
        found = _read_resnet(own)
    kwargs.finish()
    own.finish()
    return found


def _read_resnet(keys: Keys) -> ResNetConfig:
    keys.ignore("stage_names", "is_encoder_decoder")
    keys.only("hidden_act", "relu")
    keys.only("downsample_in_first_stage", False)
    depths = tuple(keys.take("depths", [3, 4, 6, 3]))
    keys.only("out_features", [f"stage{len(depths)}"])
    keys.only("out_indices", [len(depths)], [-1])
    return ResNetConfig(
        channels=keys.take("num_channels", 3),
        stem=keys.take("embedding_size", 64),
        widths=tuple(keys.take("hidden_sizes", list(_BOTTLENECK))),
        depths=depths,
        bottleneck=keys.choice("layer_type", {"bottleneck": True, "basic": False}, "bottleneck"),
        early_stride=keys.take("downsample_in_bottleneck", False),
    )


def _write(model: Detr) -> dict[str, Any]:
    config, backbone = model.config, model.config.backbone
    sizes = {"attention_heads": config.heads, "ffn_dim": config.hidden, "layers": None}
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    both = {
        f"{side}_{name}": layers[side] if x is None else x for name, x in sizes.items() for side in layers
    }
    return both | {
        "backbone_config": {
            "model_type": "resnet",
            "num_channels": backbone.channels,
            "embedding_size": backbone.stem,
            "hidden_sizes": list(backbone.widths),
            "depths": list(backbone.depths),
            "layer_type": "bottleneck" if backbone.bottleneck else "basic",
            "downsample_in_bottleneck": backbone.early_stride,
            "out_features": [f"stage{len(backbone.depths)}"],
        },
        "use_timm_backbone": False,
        "d_model": config.dim,
        "num_queries": config.queries,
        **write_labels(config.labels),
    }


def _convolved(disk: str, ours: str, layer: Any) -> list[Entry]:
    height, width, inputs, outputs = layer.convolution.kernel.shape
    shape = (outputs, inputs, height, width)
    kernel = Entry(f"{disk}.convolution.weight", f"{ours}.convolution.kernel", channels_last, shape)
    return [
        kernel,
        *(Entry(f"{disk}.normalization.{name}", f"{ours}.norm.{own}") for name, own in _NORM.items()),
    ]


def _table(model: Detr) -> list[Entry]:
    config, backbone = model.config, model.backbone
    shape = (config.dim, config.backbone.widths[-1], 1, 1)
    entries = [
        Entry("model.input_projection.weight", "project.kernel", shape=shape),
        Entry("model.input_projection.bias", "project.bias"),
        Entry("model.query_position_embeddings.weight", "queries"),
        *layer_norm("model.decoder.layernorm", "decoder_norm"),
        *linear("class_labels_classifier", "head"),
        *repeated(linear("bbox_predictor.layers.{i}", "boxes.{i}"), len(model.boxes)),
        *_convolved(f"{_BACKBONE}.embedder.embedder", "backbone.stem", backbone.stem),
    ]
    for stage, blocks in enumerate(backbone.stages):
        for i, block in enumerate(blocks):
            disk, ours = f"{_BACKBONE}.encoder.stages.{stage}.layers.{i}", f"backbone.stages.{stage}.{i}"
            for number, layer in enumerate(block.layers):
                entries += _convolved(f"{disk}.layer.{number}", f"{ours}.layers.{number}", layer)
            if block.shortcut is not None:
                entries += _convolved(f"{disk}.shortcut", f"{ours}.shortcut", block.shortcut)
    for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        entries += seq2seq.layer(side, ("attention", "attention"), layers)
    return entries


FAMILY = Family(
    "detr",
    _read,
    _write,
    _table,
    Detr,
    peer="DetrForObjectDetection",
    aliases=_OF_TIMM,
    ignored=(rf"{_BACKBONE}\..*\.num_batches_tracked",),
)
