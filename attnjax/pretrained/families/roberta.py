"""RoBERTa: BERT whose positions begin after the place of the padding.

References:
  Liu et al., RoBERTa, 2019, arXiv:1907.11692.
"""

from typing import Any

from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.pretrained.families import _encoder as encoder
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

HEADS = encoder.Heads(
    "Roberta",
    transform="lm_head.dense",
    transform_norm="lm_head.layer_norm",
    bias="lm_head.bias",
    output="lm_head.decoder",
    pooler="roberta.pooler.dense",
    labels="classifier.out_proj",
    label_pooler="classifier.dense",
)
TOKENS = "roberta.embeddings.word_embeddings.weight"


def _read(keys: Keys, tensors: Tensors) -> tuple[EncoderConfig, dict[str, Any]]:
    heads = HEADS.read(keys, tensors, TOKENS, "gelu_exact")
    first = keys.take("pad_token_id", 1) + 1
    rows = keys.take("max_position_embeddings")
    return encoder.read_bert(keys, first_position=first, max_length=rows - first, **heads)


def _write(model: Encoder) -> dict[str, Any]:
    first = model.config.first_position
    places = {"max_position_embeddings": model.config.max_length + first, "pad_token_id": first - 1}
    return encoder.write_bert(model) | places | HEADS.write(model.config)


def _table(model: Encoder) -> list[Entry]:
    config = model.config
    return [
        *encoder.embeddings("roberta.embeddings"),
        *encoder.bert_layers("roberta.encoder.layer", config.layers),
        *HEADS.entries(config),
    ]


FAMILY = encoder.family("roberta", _read, _write, _table, HEADS)
