"""Mixtral: Mistral whose feed-forward layers are mixtures of experts.

References:
  Jiang et al., Mixtral of Experts, 2024, arXiv:2401.04088.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, of_experts
from attnjax.pretrained.tensors import Tensors

_NAMES = {"w1": "gate", "w2": "down", "w3": "up"}


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.ignore("router_jitter_noise")  # Of training.
    window = keys.optional("sliding_window", int)
    return llama.read_llama(
        keys,
        tensors,
        kv_heads=8,
        **decoder.read_rope(keys, base=1e6),
        max_length=keys.take("max_position_embeddings", 131_072),
        norm_eps=keys.take("rms_norm_eps", 1e-5),
        experts=keys.take("num_local_experts", 8),
        active_experts=keys.take("num_experts_per_tok", 2),
        mechanism=decoder.mechanisms(["sliding_attention"], window),
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    config = model.config
    window = {"sliding_window": decoder.write_windows(config)["sliding_window"]}
    experts = {"num_local_experts": config.experts, "num_experts_per_tok": config.active_experts}
    return llama.write_llama(model) | window | experts


def _table(model: LanguageModel) -> list[Entry]:
    disk, ours = "model.layers.{i}.block_sparse_moe", "blocks.{i}.feed_forward"
    one = [Entry(f"{disk}.experts.{{e}}.{w}.weight", f"{ours}.{name}.kernel") for w, name in _NAMES.items()]
    experts = of_experts(one, model.config.experts or 0)
    router = Entry(f"{disk}.gate.weight", f"{ours}.router.kernel")
    return llama.table(model, feed_forward=[router, *experts])


FAMILY = llama.family("mixtral", "MixtralForCausalLM", _read, _write, _table)
