"""The text part of Gemma 3: Gemma 2 with norms of queries and keys, and rope of another base in windows.

References:
  Gemma Team, Gemma 3, 2025, arXiv:2503.19786.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _gemma as gemma
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    period = keys.take("sliding_window_pattern", keys.take("_sliding_window_pattern", 6))
    layers = range(1, keys.take("num_hidden_layers") + 1)
    kinds = ["sliding_attention" if i % period else "full_attention" for i in layers]
    both = Keys(keys.optional("rope_parameters", dict) or {}, f"{keys.label}: rope_parameters")
    local = keys.take("rope_local_base_freq", 10_000.0, kind=float, least=1)
    if (given := both.optional("sliding_attention", dict)) is not None:
        windows = Keys(given, f"{both.label}.sliding_attention")
        windows.only("rope_type", "default")
        local = windows.take("rope_theta", local, kind=float, least=1)
        windows.finish()
    settings = decoder.read_rope(keys, base=1e6, given=both.optional("full_attention", dict))
    settings |= {"qk_norm": True, "rope_local_base": float(local)}
    return gemma.read_gemma(keys, tensors, kinds, length=131_072, **settings)


def _write(model: LanguageModel) -> dict[str, Any]:
    written = gemma.write_gemma(model)
    local = {"rope_type": "default", "rope_theta": model.config.rope_local_base or model.config.rope_base}
    both = {"full_attention": written["rope_parameters"], "sliding_attention": local}
    return written | {"rope_parameters": both}


FAMILY = llama.family("gemma3_text", "Gemma3ForCausalLM", _read, _write)
