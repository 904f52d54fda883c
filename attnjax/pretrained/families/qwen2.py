"""Qwen 2 and 2.5: Llama with biases of queries, keys and values.

References:
  Qwen Team, Qwen2 Technical Report, 2024, arXiv:2407.10671.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    mechanism = decoder.read_late_windows(keys)
    return llama.read_llama(
        keys,
        tensors,
        kv_heads=32,
        max_length=keys.take("max_position_embeddings", 32768),
        attention_bias="qkv",
        mechanism=mechanism,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    return llama.write_llama(model) | decoder.write_late_windows(model.config)


FAMILY = llama.family("qwen2", "Qwen2ForCausalLM", _read, _write)
