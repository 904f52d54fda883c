"""Marian: translation models of OPUS-MT, with sinusoidal positions, all sines before all cosines.

References:
  Junczys-Dowmunt et al., Marian: Fast Neural Machine Translation in C++, 2018, arXiv:1804.00344.
"""

from typing import Any

from attnjax.models.config import TransformerConfig
from attnjax.models.encoder_decoder import Transformer
from attnjax.pretrained.families import _seq2seq as seq2seq
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

_SOURCE, _TARGET = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"


def _read(keys: Keys, tensors: Tensors) -> tuple[TransformerConfig, dict[str, Any]]:
    keys.only("normalize_embedding", False)
    shared = keys.take("share_encoder_decoder_embeddings", True)
    source = keys.take("vocab_size")
    target = keys.take("decoder_vocab_size", source)
    config = seq2seq.read_seq2seq(
        keys,
        tensors,
        seq2seq.SHARED if shared else _TARGET,
        positions="sinusoidal_halves",
        share_embeddings=shared,
    )
    return config, {"source_vocab": source, "target_vocab": source if shared else target}


def _write(model: Transformer) -> dict[str, Any]:
    shared = model.config.share_embeddings
    target = (model.source_embedding if shared else model.target_embedding).tokens.num_embeddings
    own = {"share_encoder_decoder_embeddings": shared, "decoder_vocab_size": target}
    return seq2seq.write_seq2seq(model) | own


def _table(model: Transformer) -> list[Entry]:
    if model.config.share_embeddings:
        embeddings = [Entry(seq2seq.SHARED, seq2seq.SOURCE)]
    else:
        embeddings = [Entry(_SOURCE, seq2seq.SOURCE), Entry(_TARGET, seq2seq.TARGET)]
    return [*embeddings, *seq2seq.layers(model), *seq2seq.head(model)]


FAMILY = Family(
    "marian",
    _read,
    _write,
    _table,
    Transformer,
    peer="MarianMTModel",
    ties=seq2seq.TIES,
    ignored=(r"model\.(?:encoder|decoder)\.embed_positions\.weight",),
)
