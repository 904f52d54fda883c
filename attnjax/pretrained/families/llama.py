"""Llama 1 to 3, with rotary positions in halves.

References:
  Touvron et al., LLaMA, 2023, arXiv:2302.13971.
  Grattafiori et al., The Llama 3 Herd of Models, 2024, arXiv:2407.21783.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    biased = keys.take("attention_bias", False)
    return decoder.read_llama(
        keys,
        tensors,
        bias=keys.take("mlp_bias", False),
        attention_bias="all" if biased else "none",
        output_bias=False,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    biased = model.blocks[0].attention.out.bias is not None
    return decoder.write_llama(model) | {"mlp_bias": model.config.bias, "attention_bias": biased}


FAMILY = decoder.llama_like("llama", "LlamaForCausalLM", _read, _write)
