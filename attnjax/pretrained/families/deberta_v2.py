"""DeBERTa v3, with logarithmic buckets of distances and shared projections.

References:
  He et al., DeBERTa, 2020, arXiv:2006.03654.
  He et al., DeBERTaV3, 2021, arXiv:2111.09543.
"""

from typing import Any

from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.pretrained.families import _encoder as encoder
from attnjax.pretrained.families._shared import EMBEDDING, UNGATED, layer_norm, linear
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

NAME = "deberta-v2"
HEADS = encoder.Heads(
    "DebertaV2",
    transform="cls.predictions.transform.dense",
    transform_norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    output="cls.predictions.decoder",
    pooler="pooler.dense",
    pooler_activation="gelu_exact",
)
TOKENS = "deberta.embeddings.word_embeddings.weight"
_FIXED = {
    "relative_attention": True,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "legacy": True,
    "pooler_hidden_act": "gelu",
    "type_vocab_size": 0,
}
"""Settings of version 3, of which there is no other here."""


def _read(keys: Keys, tensors: Tensors) -> tuple[EncoderConfig, dict[str, Any]]:
    for name in ("relative_attention", "norm_rel_ebd", "share_att_key", "position_biased_input"):
        keys.take(name, kind=type(_FIXED[name]))
    for name, value in _FIXED.items():
        keys.only(name, value)
    keys.only("pos_att_type", "p2c|c2p", "c2p|p2c", ["p2c", "c2p"], ["c2p", "p2c"])
    keys.only("max_relative_positions", -1, keys.take("max_position_embeddings", 512))
    keys.only("pooler_hidden_size", keys.take("hidden_size"))
    keys.ignore("pooler_dropout", "model_max_length")
    activation = keys.choice("hidden_act", UNGATED, "gelu")
    return encoder.read_bert(
        keys,
        positions="none",
        token_types=0,
        distance_buckets=keys.take("position_buckets"),
        norm_eps=float(keys.take("layer_norm_eps", 1e-7, kind=float)),
        **HEADS.read(keys, tensors, TOKENS, activation),
    )


def _write(model: Encoder) -> dict[str, Any]:
    own = {"position_buckets": model.config.distance_buckets, "pos_att_type": ["p2c", "c2p"]}
    return encoder.write_bert(model) | _FIXED | own | HEADS.write(model.config)


def _table(model: Encoder) -> list[Entry]:
    layer, block = "deberta.encoder.layer.{i}", "blocks.{i}"
    entries = []
    for name in ("query", "key", "value"):
        entries += linear(f"{layer}.attention.self.{name}_proj", f"{block}.attention.{name}")
    entries += encoder.bert_rest(layer)
    return [
        Entry(TOKENS, EMBEDDING),
        *layer_norm("deberta.embeddings.LayerNorm", "embedding.norm"),
        Entry("deberta.encoder.rel_embeddings.weight", "distances.table"),
        *layer_norm("deberta.encoder.LayerNorm", "distances.norm"),
        *repeated(entries, model.config.layers),
        *HEADS.entries(model.config),
    ]


FAMILY = Family(
    NAME,
    _read,
    _write,
    _table,
    Encoder,
    peer="DebertaV2Model",
    prefix="deberta.",
    aliases=(
        (r"^lm_predictions\.lm_head\.(dense|LayerNorm)", r"cls.predictions.transform.\1"),
        (r"^lm_predictions\.lm_head\.bias", "cls.predictions.bias"),
    ),
    ties=HEADS.ties,
    ignored=(r"deberta\.embeddings\.position_ids", r"mask_predictions\..*"),
)
