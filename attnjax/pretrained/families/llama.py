"""Llama 1 to 3, with rotary positions in halves.

References:
  Touvron et al., LLaMA, 2023, arXiv:2302.13971.
  Grattafiori et al., The Llama 3 Herd of Models, 2024, arXiv:2407.21783.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    return llama.read_llama(
        keys,
        tensors,
        bias=keys.take("mlp_bias", False),
        attention_bias=llama.read_attention_bias(keys),
        output_bias=False,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    written = llama.write_llama(model) | llama.write_attention_bias(model)
    return written | {"mlp_bias": model.config.bias}


FAMILY = llama.family("llama", "LlamaForCausalLM", _read, _write)
