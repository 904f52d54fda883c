"""OLMo 2: norms of what layers give, and of all queries and all keys together.

References:
  OLMo Team, 2 OLMo 2 Furious, 2025, arXiv:2501.00656.
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
        norm_placement="inner",
        norm_eps=keys.take("rms_norm_eps", 1e-5),
        qk_norm=True,
        qk_norm_groups=1,
        attention_bias=llama.read_attention_bias(keys),
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    return llama.write_llama(model) | llama.write_attention_bias(model)


FAMILY = llama.family("olmo2", "Olmo2ForCausalLM", _read, _write)
