"""OLMo 2: norms of what layers give, and of all queries and all keys together.

References:
  OLMo Team, 2 OLMo 2 Furious, 2025, arXiv:2501.00656.
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
        norm_placement="inner",
        norm_eps=keys.take("rms_norm_eps", 1e-5),
        qk_norm=True,
        qk_norm_groups=1,
        attention_bias="all" if keys.take("attention_bias", False) else "none",
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    biased = model.blocks[0].attention.out.bias is not None
    return decoder.write_llama(model) | {"attention_bias": biased}


FAMILY = decoder.llama_like("olmo2", "Olmo2ForCausalLM", _read, _write)
