"""Qwen 3 with mixtures of experts.

References:
  Qwen Team, Qwen3 Technical Report, 2025, arXiv:2505.09388.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.hybrid_config import HybridConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _hybrid as hybrid
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    sums_to_one = keys.take("norm_topk_prob", False)
    changes = {} if sums_to_one else {"router_sums_to_one": False}
    keys.only("use_sliding_window", False)
    keys.only("decoder_sparse_step", 1)
    keys.only("mlp_only_layers", [])
    keys.ignore("intermediate_size", "sliding_window", "max_window_layers")  # Of layers that there are not.
    return llama.read_llama(
        keys,
        tensors,
        kv_heads=4,
        config=LanguageModelConfig if sums_to_one else HybridConfig,
        max_length=keys.take("max_position_embeddings", 32768),
        head_dim=keys.take("head_dim", 128),
        hidden=keys.take("moe_intermediate_size"),
        experts=keys.take("num_experts", keys.take("num_local_experts", 128)),
        active_experts=keys.take("num_experts_per_tok", 8),
        qk_norm=True,
        attention_bias=llama.read_attention_bias(keys),
        **changes,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    config = model.config
    experts = {
        "moe_intermediate_size": config.hidden_dim,
        "num_experts": config.experts,
        "num_experts_per_tok": config.active_experts,
        "norm_topk_prob": getattr(config, "router_sums_to_one", True),
    }
    return llama.write_llama(model) | llama.write_attention_bias(model) | experts


def _table(model: LanguageModel) -> list[Entry]:
    return llama.table(model, feed_forward=hybrid.feed_forward(model.blocks[0].feed_forward))


FAMILY = llama.family("qwen3_moe", "Qwen3MoeForCausalLM", _read, _write, _table)
