"""Whisper: recognition and translation of speech; its source is 80 or 128 bands of a mel spectrum.

References:
  Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022, arXiv:2212.04356.
"""

from typing import Any

import numpy as np

from attnjax.models.config import TransformerConfig
from attnjax.models.encoder_decoder import Transformer
from attnjax.pretrained.families import _seq2seq as seq2seq
from attnjax.pretrained.families._shared import layer_norm
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

_TOKENS, _HEAD = "model.decoder.embed_tokens.weight", "proj_out.weight"
_TRAINING = (
    *("apply_spec_augment", "mask_time_prob", "mask_time_length", "mask_time_min_masks"),
    *("mask_feature_prob", "mask_feature_length", "mask_feature_min_masks", "median_filter_width"),
)
"""Keys of training, and of the times of words."""


def _read(keys: Keys, tensors: Tensors) -> tuple[TransformerConfig, dict[str, Any]]:
    keys.ignore(*_TRAINING, "classifier_proj_size", "use_weighted_layer_sum")
    config = seq2seq.read_seq2seq(
        keys,
        tensors,
        _TOKENS,
        _HEAD,
        length="max_target_positions",
        positions="learned",
        norm_placement="pre",
        attention_bias="no_key",
        frames=keys.take("num_mel_bins", 80),
        max_vectors=keys.take("max_source_positions", 1500),
        share_embeddings=False,
        output_bias=False,
    )
    return config, {"source_vocab": None, "target_vocab": keys.take("vocab_size")}


def _write(model: Transformer) -> dict[str, Any]:
    config = model.config
    written = seq2seq.write_seq2seq(model)
    own = {
        "max_target_positions": written.pop("max_position_embeddings"),
        "max_source_positions": config.max_vectors,
        "num_mel_bins": config.frames,
    }
    return written | own


def _table(model: Transformer) -> list[Entry]:
    config, embedding = model.config, "source_embedding"
    entries = [
        Entry(_TOKENS, seq2seq.TARGET),
        Entry("model.decoder.embed_positions.weight", "target_embedding.table.embedding"),
        Entry("model.encoder.embed_positions.weight", f"{embedding}.positions"),
    ]
    for disk, ours, inputs in (("conv1", "first", config.frames), ("conv2", "second", config.dim)):
        shape = (config.dim, inputs or 0, 3)
        kernel = Entry(f"model.encoder.{disk}.weight", f"{embedding}.{ours}.kernel", _taps_first, shape)
        entries += [kernel, Entry(f"model.encoder.{disk}.bias", f"{embedding}.{ours}.bias")]
    for side in ("encoder", "decoder"):
        entries += layer_norm(f"model.{side}.layer_norm", f"{side}_norm")
    if model.output is not None:
        entries.append(Entry(_HEAD, "output.kernel"))
    return [*entries, *seq2seq.layers(model)]


def _taps_first(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(1, 2)


FAMILY = Family(
    "whisper",
    _read,
    _write,
    _table,
    Transformer,
    peer="WhisperForConditionalGeneration",
    ties={_HEAD: seq2seq.TARGET},
)
