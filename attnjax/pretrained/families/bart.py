"""BART.

References:
  Lewis et al., BART, 2019, arXiv:1910.13461.
"""

from typing import Any

from attnjax.models.config import TransformerConfig
from attnjax.models.encoder_decoder import Transformer
from attnjax.pretrained.families import _seq2seq as seq2seq
from attnjax.pretrained.families._shared import layer_norm
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

_FIRST = 2
"""The row of the first position; those before it are never read."""


def _read(keys: Keys, tensors: Tensors) -> tuple[TransformerConfig, dict[str, Any]]:
    keys.only("normalize_embedding", True)
    config = seq2seq.read_seq2seq(
        keys, tensors, positions="learned", first_position=_FIRST, embedding_norm=True
    )
    vocab = keys.take("vocab_size")
    return config, {"source_vocab": vocab, "target_vocab": vocab}


def _table(model: Transformer) -> list[Entry]:
    entries = [Entry(seq2seq.SHARED, seq2seq.SOURCE)]
    for side, ours in (("encoder", "source_embedding"), ("decoder", "target_embedding")):
        entries.append(Entry(f"model.{side}.embed_positions.weight", f"{ours}.table.embedding"))
        entries += layer_norm(f"model.{side}.layernorm_embedding", f"{ours}.norm")
    return [*entries, *seq2seq.layers(model), *seq2seq.head(model)]


FAMILY = Family(
    "bart",
    _read,
    seq2seq.write_seq2seq,
    _table,
    Transformer,
    peer="BartForConditionalGeneration",
    ties=seq2seq.TIES,
)
