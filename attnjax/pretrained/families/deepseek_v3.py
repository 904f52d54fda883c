"""DeepSeek-V3 and R1: latent attention, and mixtures of experts in groups behind dense layers.

The weights that DeepSeek published are in FP8 with scales of blocks, which is refused; others are read.

References:
  DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.hybrid_config import HybridConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _hybrid as hybrid
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

_FURTHER = r"model\.layers\.61\..*"
"""The block that predicts a token further, which transformers leaves out too."""


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.ignore("num_nextn_predict_layers", "num_mtp_layers")  # Blocks that predict further tokens.
    keys.ignore("aux_loss_alpha", "seq_aux", "ep_size")  # Of training.
    keys.only("moe_layer_freq", 1)
    keys.only("scoring_func", "sigmoid")
    keys.only("topk_method", "noaux_tc")
    heads, width = keys.take("num_attention_heads", 128), keys.take("moe_intermediate_size", 2048)
    keys.only("num_key_value_heads", heads)
    rope = decoder.read_rope(keys)
    own = hybrid.read_latent(keys, query_rank=1536)
    size = own["head_dim"] + keys.take("qk_rope_head_dim", 64)
    given = keys.optional("rope_parameters", dict) or keys.optional("rope_scaling", dict) or {}
    share = given.get("mscale_all_dim") if "rope_scaling" in rope else None
    growth = decoder.yarn_growth(rope["rope_factor"], share) if share else 1.0
    return llama.read_llama(
        keys,
        tensors,
        config=HybridConfig,
        **own,
        **rope,
        attention_scale=size**-0.5 * growth**2 if share else None,
        positions="rope_interleaved" if keys.take("rope_interleave", True) else "rope",
        max_length=keys.take("max_position_embeddings", 4096),
        attention_bias=llama.read_attention_bias(keys),
        experts=keys.take("n_routed_experts", 256),
        active_experts=keys.take("num_experts_per_tok", 8),
        dense_layers=min(keys.take("first_k_dense_replace", 3, least=0), keys.take("num_hidden_layers", 61)),
        expert_hidden=width,
        shared_hidden=keys.take("n_shared_experts", 1, least=0) * width,
        router_score="sigmoid",
        router_sums_to_one=keys.take("norm_topk_prob", True),
        router_scale=float(keys.take("routed_scaling_factor", 2.5, kind=float)),
        router_groups=keys.take("n_group", 8),
        router_active_groups=keys.take("topk_group", 4),
        router_corrected=True,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    config: Any = model.config.filled()
    written = llama.write_llama(model) | hybrid.write_latent(config)
    rope = written["rope_parameters"]
    if config.attention_scale is not None:
        size = written["qk_nope_head_dim"] + written["qk_rope_head_dim"]
        growth = (config.attention_scale * size**0.5) ** 0.5
        rope["mscale_all_dim"] = round((growth - 1) / (decoder.yarn_growth(config.rope_factor, 1) - 1), 9)
    return (
        {name: x for name, x in written.items() if name != "head_dim"}
        | llama.write_attention_bias(model)
        | {
            "rope_interleave": config.positions == "rope_interleaved",
            "n_routed_experts": config.experts,
            "num_experts_per_tok": config.active_experts,
            "first_k_dense_replace": config.dense_layers,
            "moe_intermediate_size": config.expert_hidden,
            "n_shared_experts": (config.shared_hidden or 0) // config.expert_hidden,
            "norm_topk_prob": config.router_sums_to_one,
            "routed_scaling_factor": config.router_scale,
            "n_group": config.router_groups,
            "topk_group": config.router_active_groups,
        }
    )


def _table(model: LanguageModel) -> list[Entry]:
    def layer(block: Any) -> list[Entry]:
        return [*hybrid.latent(block.attention), *hybrid.feed_forward(block.feed_forward)]

    return hybrid.table(model, layer)


FAMILY = llama.family("deepseek_v3", "DeepseekV3ForCausalLM", _read, _write, _table, ignored=(_FURTHER,))
