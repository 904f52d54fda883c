"""Qwen 3: Llama with norms of queries and keys.

References:
  Qwen Team, Qwen3 Technical Report, 2025, arXiv:2505.09388.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    return decoder.read_llama(
        keys,
        tensors,
        head_dim=keys.take("head_dim", 128),
        qk_norm=True,
        attention_bias="all" if keys.take("attention_bias", False) else "none",
        mechanism=decoder.read_late_windows(keys),
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    biased = {"attention_bias": model.blocks[0].attention.out.bias is not None}
    return decoder.write_llama(model) | decoder.write_late_windows(model.config) | biased


FAMILY = decoder.llama_like("qwen3", "Qwen3ForCausalLM", _read, _write)
