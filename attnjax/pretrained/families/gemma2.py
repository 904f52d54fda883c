"""Gemma 2: norms before and after each layer, with gains of 1 + γ, windows in every second one, soft caps.

References:
  Gemma Team, Gemma 2, 2024, arXiv:2408.00118.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.pretrained.families import _gemma as gemma
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    kinds = [("sliding_attention", "full_attention")[i % 2] for i in range(keys.take("num_hidden_layers"))]
    return gemma.read_gemma(keys, tensors, kinds, length=8192, caps=(50.0, 30.0))


FAMILY = llama.family("gemma2", "Gemma2ForCausalLM", _read, gemma.write_gemma)
