"""BERT, as it is trained and with the heads of its uses; MiniLM has the same shape.

References:
  Devlin et al., BERT, 2018, arXiv:1810.04805.
  Wang et al., MiniLM, 2020, arXiv:2002.10957.
"""

from typing import Any

from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.pretrained.families import _encoder as encoder
from attnjax.pretrained.families._shared import UNGATED
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

HEADS = encoder.Heads(
    "Bert",
    transform="cls.predictions.transform.dense",
    transform_norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    output="cls.predictions.decoder",
    pooler="bert.pooler.dense",
    pair="cls.seq_relationship",
)
TOKENS = "bert.embeddings.word_embeddings.weight"


def _read(keys: Keys, tensors: Tensors) -> tuple[EncoderConfig, dict[str, Any]]:
    activation = keys.choice("hidden_act", UNGATED, "gelu")
    return encoder.read_bert(keys, **HEADS.read(keys, tensors, TOKENS, activation))


def _write(model: Encoder) -> dict[str, Any]:
    return encoder.write_bert(model) | HEADS.write(model.config)


def _table(model: Encoder) -> list[Entry]:
    config = model.config
    return [
        *encoder.embeddings("bert.embeddings"),
        *encoder.bert_layers("bert.encoder.layer", config.layers),
        *HEADS.entries(config),
    ]


FAMILY = encoder.family("bert", _read, _write, _table, HEADS)
