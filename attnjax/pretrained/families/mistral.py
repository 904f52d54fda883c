"""Mistral: Llama whose layers may all see a window.

References:
  Jiang et al., Mistral 7B, 2023, arXiv:2310.06825.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    window = keys.nullable("sliding_window", 4096, int)
    mechanism = decoder.mechanisms(["sliding_attention"], window)
    length = keys.take("max_position_embeddings", 131_072)
    return llama.read_llama(keys, tensors, kv_heads=8, max_length=length, mechanism=mechanism)


def _write(model: LanguageModel) -> dict[str, Any]:
    window = decoder.write_windows(model.config)["sliding_window"]
    return llama.write_llama(model) | {"sliding_window": window}


FAMILY = llama.family("mistral", "MistralForCausalLM", _read, _write)
