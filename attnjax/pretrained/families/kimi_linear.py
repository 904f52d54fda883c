"""Kimi Linear: three layers of delta attention for one of latent attention without positions, and mixtures.

References:
  Kimi Team, Kimi Linear: An Expressive, Efficient Attention Architecture, 2025, arXiv:2510.26692.
"""

from typing import Any

from attnjax.config import InputError
from attnjax.models.config import LanguageModelConfig
from attnjax.models.hybrid_config import HybridConfig
from attnjax.models.language_model import LanguageModel
from attnjax.nn import LatentAttention
from attnjax.pretrained.families import _hybrid as hybrid
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.families._shared import linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors

_EXPERT = {"gate": "w1", "up": "w3", "down": "w2"}
_DENSE = (r"^(model\.layers\.\d+)\.block_sparse_moe\.((?:gate|up|down)_proj)", r"\1.mlp.\2")
"""What transformers 5.23 writes for dense layers, and what Moonshot's files have."""


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.ignore("num_nextn_predict_layers", "rope_theta", "rope_scaling", "max_position_embeddings")
    keys.only("moe_router_activation_func", "sigmoid")
    keys.only("moe_layer_freq", 1)
    keys.only("use_grouped_topk", True)
    keys.only("mla_use_nope", True)
    keys.only("attention_bias", False)
    keys.only("num_key_value_heads", keys.take("num_attention_heads", 32))
    own = hybrid.read_latent(keys, query_rank=None)
    width = keys.take("moe_intermediate_size", 1024)
    linear = _linear(keys)
    kinds = hybrid.read_kinds(keys, linear["recurs"], "kda", own.pop("mechanism"))
    return llama.read_llama(
        keys,
        tensors,
        config=HybridConfig,
        **own,
        rope_base=10_000.0,
        positions="none",
        mechanism=kinds,
        max_length=keys.take("model_max_length", 1_048_576),
        norm_eps=float(keys.take("rms_norm_eps", 1e-5, kind=float)),
        experts=keys.take("num_experts", 256),
        active_experts=keys.take("num_experts_per_token", 8),
        dense_layers=_dense_layers(keys),
        expert_hidden=width,
        shared_hidden=keys.take("num_shared_experts", 1, least=0) * width,
        router_score="sigmoid",
        router_sums_to_one=keys.take("moe_renormalize", True),
        router_scale=float(keys.take("routed_scaling_factor", 2.446, kind=float)),
        router_groups=keys.take("num_expert_group", 1),
        router_active_groups=keys.take("topk_group", 1),
        router_corrected=True,
        recurrent_heads=linear["num_heads"],
        recurrent_head_dim=linear["head_dim"],
        recurrent_convolution=linear["short_conv_kernel_size"],
        recurrent_strength_bias=False,
        recurrent_gate="sigmoid",
        recurrent_gate_rank=linear["head_dim"],
    )


def _linear(keys: Keys) -> dict[str, Any]:
    """Returns the sizes of the recurrences, and which layers they are, in a part of the config or in it."""
    part = Keys(keys.optional("linear_attn_config", dict) or {}, f"{keys.label}: linear_attn_config")
    names = {
        "num_heads": ("linear_num_heads", 32),
        "head_dim": ("linear_head_dim", 128),
        "short_conv_kernel_size": ("linear_conv_kernel_dim", 4),
    }
    found: dict[str, Any] = {
        name: part.take(name, keys.take(outer, default)) for name, (outer, default) in names.items()
    }
    attends, recurs = part.optional("full_attn_layers", list), part.optional("kda_layers", list)
    part.finish()
    if attends is None or recurs is None:
        return found | {"recurs": lambda i: not (i and i % 4 == 0)}
    layers = keys.take("num_hidden_layers")
    if sorted([*attends, *recurs]) != list(range(1, layers + 1)):
        raise InputError(f"{part.label} has kda_layers and full_attn_layers: expected each of 1 to {layers}")
    return found | {"recurs": lambda i: i + 1 in recurs}


def _dense_layers(keys: Keys) -> int:
    """Returns the number of layers at the bottom that are no mixtures."""
    layers, first = keys.take("num_hidden_layers"), keys.take("first_k_dense_replace", 1, least=0)
    kinds = keys.optional("mlp_layer_types", list)
    if kinds is None:
        return min(first, layers)
    dense = kinds.count("dense")
    if kinds != ["dense"] * dense + ["sparse"] * (layers - dense):
        raise InputError(
            f"{keys.label} has mlp_layer_types = {kinds}: expected dense layers, then sparse ones"
        )
    return dense


def _write(model: LanguageModel) -> dict[str, Any]:
    config: Any = model.config.filled()
    written = llama.write_llama(model) | hybrid.write_latent(config) | hybrid.write_kinds(config)
    for name in ("head_dim", "rope_parameters", "max_position_embeddings"):
        del written[name]
    sparse = config.layers - config.dense_layers
    return written | {
        "model_max_length": config.max_length,
        "num_experts": config.experts,
        "num_experts_per_token": config.active_experts,
        "mlp_layer_types": ["dense"] * config.dense_layers + ["sparse"] * sparse,
        "moe_intermediate_size": config.expert_hidden,
        "num_shared_experts": (config.shared_hidden or 0) // config.expert_hidden,
        "moe_renormalize": config.router_sums_to_one,
        "routed_scaling_factor": config.router_scale,
        "num_expert_group": config.router_groups,
        "topk_group": config.router_active_groups,
        "linear_num_heads": config.recurrent_heads,
        "linear_head_dim": config.recurrent_head_dim,
        "linear_conv_kernel_dim": config.recurrent_convolution,
    }


def _recurrence(own: Any) -> list[Entry]:
    disk, ours = "model.layers.{i}.self_attn", "blocks.{i}.attention"
    gates, entries = f"{ours}.recurrence.gates", []
    for name in ("query", "key", "value", "out"):
        entries += linear(f"{disk}.{name[0]}_proj", f"{ours}.{name}", bias=False)
    for name, kept in own.recurrence.convolutions.items():
        taps, *channels = kept.kernel.shape
        entries.append(
            Entry(
                f"{disk}.{name[0]}_conv1d.weight",
                f"{ours}.recurrence.convolutions.{name}.kernel",
                hybrid.taps_last(slice(None)),
                (channels[0] * channels[1], 1, taps),
            )
        )
    return [
        *entries,
        *linear(f"{disk}.g_a_proj", f"{ours}.output_gate.down", bias=False),
        *linear(f"{disk}.g_b_proj", f"{ours}.output_gate.up", bias=False),
        *linear(f"{disk}.b_proj", f"{gates}.strength.up", bias=False),
        *linear(f"{disk}.f_a_proj", f"{gates}.decay.step.down", bias=False),
        *linear(f"{disk}.f_b_proj", f"{gates}.decay.step.up", bias=False),
        Entry(f"{disk}.dt_bias", f"{gates}.decay.step.up.bias"),
        Entry(f"{disk}.A_log", f"{gates}.decay.rate.raw", shape=(1, 1, own.heads, 1)),
        Entry(f"{disk}.o_norm.weight", f"{ours}.norm.scale"),
    ]


def _table(model: LanguageModel) -> list[Entry]:
    def layer(block: Any) -> list[Entry]:
        own = block.attention
        entries = hybrid.latent(own) if isinstance(own, LatentAttention) else _recurrence(own)
        mixture = "model.layers.{i}.block_sparse_moe"
        return [*entries, *hybrid.feed_forward(block.feed_forward, mixture, _EXPERT)]

    return hybrid.table(model, layer)


FAMILY = llama.family("kimi_linear", "KimiLinearForCausalLM", _read, _write, _table, aliases=(_DENSE,))
