"""ALBERT: layers that share their parameters, and a narrow embedding.

References:
  Lan et al., ALBERT, 2019, arXiv:1909.11942.
"""

from typing import Any

from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.pretrained.families import _encoder as encoder
from attnjax.pretrained.families._shared import UNGATED, layer_norm, linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

HEADS = encoder.Heads(
    "Albert",
    transform="predictions.dense",
    transform_norm="predictions.LayerNorm",
    bias="predictions.bias",
    output="predictions.decoder",
    pooler="albert.pooler",
    pair="sop_classifier.classifier",
)
TOKENS = "albert.embeddings.word_embeddings.weight"


def _read(keys: Keys, tensors: Tensors) -> tuple[EncoderConfig, dict[str, Any]]:
    keys.only("inner_group_num", 1)
    # Of older files: what nobody reads, or what there is no other way to compute.
    keys.ignore("down_scale_factor", "net_structure_type", "num_memory_blocks", "gap_size")
    activation = keys.choice("hidden_act", UNGATED, "gelu_new")
    return encoder.read_bert(
        keys,
        embedding_width=keys.take("embedding_size", 128),
        distinct_layers=keys.take("num_hidden_groups", 1),
        activation=activation,
        **HEADS.read(keys, tensors, TOKENS, activation),
    )


def _write(model: Encoder) -> dict[str, Any]:
    config = model.config
    own = {
        "embedding_size": config.embedding_width or config.dim,
        "num_hidden_groups": config.distinct_layers or config.layers,
        "inner_group_num": 1,
    }
    return encoder.write_bert(model) | own | HEADS.write(config)


def _table(model: Encoder) -> list[Entry]:
    layer, block = "albert.encoder.albert_layer_groups.{i}.albert_layers.0", "blocks.{i}"
    entries = []
    for name, ours in {"query": "query", "key": "key", "value": "value", "dense": "out"}.items():
        entries += linear(f"{layer}.attention.{name}", f"{block}.attention.{ours}")
    entries += layer_norm(f"{layer}.attention.LayerNorm", f"{block}.attention_residual.norm")
    entries += linear(f"{layer}.ffn", f"{block}.feed_forward.up")
    entries += linear(f"{layer}.ffn_output", f"{block}.feed_forward.down")
    entries += layer_norm(f"{layer}.full_layer_layer_norm", f"{block}.feed_forward_residual.norm")
    return [
        *encoder.embeddings("albert.embeddings"),
        *linear("albert.encoder.embedding_hidden_mapping_in", "embedding.project"),
        *repeated(entries, len(model.blocks)),
        *HEADS.entries(model.config),
    ]


FAMILY = encoder.family("albert", _read, _write, _table, HEADS)
