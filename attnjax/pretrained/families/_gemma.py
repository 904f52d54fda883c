"""What Gemma 2 and 3 share."""

from typing import Any

from attnjax.mechanisms import read
from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families._decoder import mechanisms, read_kinds, write_windows
from attnjax.pretrained.families._llama import read_llama, write_llama
from attnjax.pretrained.families._shared import GATED
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.tensors import Tensors


def read_gemma(
    keys: Keys,
    tensors: Tensors,
    kinds: list[str],
    *,
    length: int,
    caps: tuple[float | None, float | None] = (None, None),
    **changes: Any,
) -> tuple[LanguageModelConfig, dict[str, Any]]:
    """Returns the config of a Gemma 2 or 3, and its vocabulary.

    Args:
      keys: of its config.json.
      tensors: on disk.
      kinds: of its layers, where the config does not say.
      length: of texts, where the config does not say.
      caps: of the scores and of the logits, where the config does not say.
      changes: what is different in the family.
    """
    keys.only("use_bidirectional_attention", False)
    keys.only("attention_bias", False)
    keys.only("hidden_act", "gelu_pytorch_tanh")
    scores, logits = (
        keys.nullable(f"{name}_logit_softcapping", cap, float)
        for name, cap in zip(("attn", "final"), caps, strict=True)
    )
    recipes = "" if scores is None else f"softcap(c={float(scores)})"
    return read_llama(
        keys,
        tensors,
        tie=True,
        kv_heads=4,
        max_length=keys.take("max_position_embeddings", length),
        head_dim=keys.take("head_dim", 256),
        norm="rms_offset",
        norm_placement="sandwich",
        activation=keys.choice("hidden_activation", GATED, "gelu_pytorch_tanh"),
        embedding_scale=None,
        attention_scale=keys.take("query_pre_attn_scalar", 256, kind=float, least=1) ** -0.5,
        mechanism=mechanisms(read_kinds(keys, kinds), keys.nullable("sliding_window", 4096, int), recipes),
        logit_softcap=logits,
        **changes,
    )


def write_gemma(model: LanguageModel) -> dict[str, Any]:
    """Returns what `read_gemma` reads as the config of a model."""
    config = model.config
    parts = [part for choice in read(config.mechanism) for part in choice.parts]
    caps = [part.options["c"] for part in parts if part.row.name == "softcap"]
    written = write_llama(model) | write_windows(config)
    scale = config.head_size**-0.5 if config.attention_scale is None else config.attention_scale
    return written | {
        "hidden_activation": written.pop("hidden_act"),
        "query_pre_attn_scalar": round(scale**-2),
        "attn_logit_softcapping": caps[0] if caps else None,
        "final_logit_softcapping": config.logit_softcap,
    }
