"""ELECTRA: its generator, its discriminator, and what is trained from that.

References:
  Clark et al., ELECTRA, 2020, arXiv:2003.10555.
"""

from typing import Any

from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.pretrained.families import _encoder as encoder
from attnjax.pretrained.families._shared import UNGATED, linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

HEADS = encoder.Heads(
    "Electra",
    transform="generator_predictions.dense",
    transform_norm="generator_predictions.LayerNorm",
    bias="generator_lm_head.bias",
    output="generator_lm_head",
    labels="classifier.out_proj",
    label_pooler="classifier.dense",
    pooler_activation="gelu_exact",
    token_transform="discriminator_predictions.dense",
    token_output="discriminator_predictions.dense_prediction",
)
TOKENS = "electra.embeddings.word_embeddings.weight"


def _read(keys: Keys, tensors: Tensors) -> tuple[EncoderConfig, dict[str, Any]]:
    keys.ignore("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout")
    generator = HEADS.transform + ".weight" in tensors
    activation = "gelu_exact" if generator else keys.choice("hidden_act", UNGATED, "gelu")
    width, dim = keys.take("embedding_size", 128), keys.take("hidden_size")
    heads = HEADS.read(keys, tensors, TOKENS, activation)
    return encoder.read_bert(keys, embedding_width=None if width == dim else width, **heads)


def _write(model: Encoder) -> dict[str, Any]:
    width = model.config.embedding_width or model.config.dim
    return encoder.write_bert(model) | {"embedding_size": width} | HEADS.write(model.config)


def _table(model: Encoder) -> list[Entry]:
    config = model.config
    return [
        *encoder.embeddings("electra.embeddings"),
        *(linear("electra.embeddings_project", "embedding.project") if config.embedding_width else ()),
        *encoder.bert_layers("electra.encoder.layer", config.layers),
        *HEADS.entries(config),
    ]


FAMILY = encoder.family("electra", _read, _write, _table, HEADS)
