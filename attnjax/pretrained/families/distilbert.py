"""DistilBERT: BERT of half the depth, without types and pooler, under names of its own.

References:
  Sanh et al., DistilBERT, 2019, arXiv:1910.01108.
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
    "DistilBert",
    transform="vocab_transform",
    transform_norm="vocab_layer_norm",
    bias="vocab_projector.bias",
    output="vocab_projector",
    label_pooler="pre_classifier",
    pooler_activation="relu",
)
TOKENS = "distilbert.embeddings.word_embeddings.weight"
_KEYS = {"hidden_size": "dim", "num_attention_heads": "n_heads", "intermediate_size": "hidden_dim"}
_KEYS |= {"num_hidden_layers": "n_layers", "hidden_act": "activation"}
"""Their names of BERT's keys."""


def _read(keys: Keys, tensors: Tensors) -> tuple[EncoderConfig, dict[str, Any]]:
    # Sinusoids are only how the table of positions starts; it is in the file.
    keys.ignore("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout")
    activation = keys.choice("activation", UNGATED, "gelu")
    heads = HEADS.read(keys, tensors, TOKENS, activation)
    settings = {
        "dim": keys.take("dim"),
        "heads": keys.take("n_heads"),
        "hidden": keys.take("hidden_dim"),
        "layers": keys.take("n_layers"),
        "positions": "learned",
        "max_length": keys.take("max_position_embeddings", 512),
        "norm_placement": "post",
        "norm_eps": 1e-12,
        "activation": activation,
        "embedding_scale": 1.0,
        "embedding_norm": True,
    }
    return EncoderConfig(**settings | heads), {"vocab": keys.take("vocab_size")}


def _write(model: Encoder) -> dict[str, Any]:
    written = encoder.write_bert(model)
    del written["type_vocab_size"], written["layer_norm_eps"]
    return {_KEYS.get(name, name): x for name, x in written.items()} | HEADS.write(model.config)


def _table(model: Encoder) -> list[Entry]:
    layer, block = "distilbert.transformer.layer.{i}", "blocks.{i}"
    entries = []
    for name, ours in {"q": "query", "k": "key", "v": "value", "out": "out"}.items():
        entries += linear(f"{layer}.attention.{name}_lin", f"{block}.attention.{ours}")
    entries += layer_norm(f"{layer}.sa_layer_norm", f"{block}.attention_residual.norm")
    entries += linear(f"{layer}.ffn.lin1", f"{block}.feed_forward.up")
    entries += linear(f"{layer}.ffn.lin2", f"{block}.feed_forward.down")
    entries += layer_norm(f"{layer}.output_layer_norm", f"{block}.feed_forward_residual.norm")
    return [
        *encoder.embeddings("distilbert.embeddings", types=False),
        *repeated(entries, model.config.layers),
        *HEADS.entries(model.config),
    ]


FAMILY = encoder.family("distilbert", _read, _write, _table, HEADS)
