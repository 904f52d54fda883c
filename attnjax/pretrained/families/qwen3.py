"""Qwen 3: Llama with norms of queries and keys.

References:
  Qwen Team, Qwen3 Technical Report, 2025, arXiv:2505.09388.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    return llama.read_llama(
        keys,
        tensors,
        kv_heads=32,
        max_length=keys.take("max_position_embeddings", 32768),
        head_dim=keys.take("head_dim", 128),
        qk_norm=True,
        attention_bias=llama.read_attention_bias(keys),
        mechanism=decoder.read_late_windows(keys),
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    windows = decoder.write_late_windows(model.config)
    return llama.write_llama(model) | windows | llama.write_attention_bias(model)


FAMILY = llama.family("qwen3", "Qwen3ForCausalLM", _read, _write)
