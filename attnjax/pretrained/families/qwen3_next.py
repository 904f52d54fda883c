"""Qwen3-Next: three layers of gated delta rules for one of gated attention, mixtures with a shared expert.

References:
  Qwen Team, Qwen3-Next, 2025; Yang et al., Gated Delta Networks, 2024, arXiv:2412.06464.
  Qiu et al., Gated Attention for Large Language Models, 2025, arXiv:2505.06708.
"""

import itertools
from typing import Any

import numpy as np

from attnjax.config import InputError
from attnjax.models.config import LanguageModelConfig
from attnjax.models.hybrid_config import HybridConfig
from attnjax.models.language_model import LanguageModel
from attnjax.nn import RecurrentAttention
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _hybrid as hybrid
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.families._shared import linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, View, reshaped
from attnjax.pretrained.tensors import Tensors

_FURTHER = r"mtp\..*"
"""The part that predicts further tokens, which transformers leaves out too."""


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.only("attention_bias", False)
    keys.only("decoder_sparse_step", 1)
    keys.only("use_sliding_window", False)
    dense = keys.optional("mlp_only_layers", list) or []
    if dense != list(range(len(dense))):
        raise InputError(f"{keys.label} has mlp_only_layers = {dense}: expected the first ones, or none")
    period = keys.take("full_attention_interval", 4)
    kinds = hybrid.read_kinds(keys, lambda i: bool((i + 1) % period), "gated_delta_net", "softmax")
    return llama.read_llama(
        keys,
        tensors,
        kv_heads=2,
        config=HybridConfig,
        **decoder.read_rope(keys, fraction=0.25),
        mechanism=kinds,
        head_dim=keys.take("head_dim", 256),
        max_length=keys.take("max_position_embeddings", 32768),
        norm="rms_offset",
        qk_norm=True,
        output_gate="elementwise",
        experts=keys.take("num_experts", 512),
        active_experts=keys.take("num_experts_per_tok", 10),
        dense_layers=len(dense),
        expert_hidden=keys.take("moe_intermediate_size", 512),
        shared_hidden=keys.take("shared_expert_intermediate_size", 512),
        shared_gate=True,
        router_sums_to_one=keys.take("norm_topk_prob", True),
        recurrent_heads=keys.take("linear_num_value_heads", 32),
        recurrent_key_heads=keys.take("linear_num_key_heads", 16),
        recurrent_head_dim=keys.take("linear_key_head_dim", 128),
        recurrent_value_dim=keys.take("linear_value_head_dim", 128),
        recurrent_convolution=keys.take("linear_conv_kernel_dim", 4),
        recurrent_strength_bias=False,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    config: Any = model.config.filled()
    return (
        llama.write_llama(model)
        | hybrid.write_kinds(config)
        | {
            "mlp_only_layers": list(range(config.dense_layers)),
            "num_experts": config.experts,
            "num_experts_per_tok": config.active_experts,
            "moe_intermediate_size": config.expert_hidden,
            "shared_expert_intermediate_size": config.shared_hidden,
            "norm_topk_prob": config.router_sums_to_one,
            "linear_num_value_heads": config.recurrent_heads,
            "linear_num_key_heads": config.recurrent_key_heads,
            "linear_key_head_dim": config.recurrent_head_dim,
            "linear_value_head_dim": config.recurrent_value_dim,
            "linear_conv_kernel_dim": config.recurrent_convolution,
        }
    )


def _attention(own: Any) -> list[Entry]:
    """Returns the entries of a layer {i} of attention, whose heads have their gate behind their query."""
    disk, ours, size = "model.layers.{i}.self_attn", "blocks.{i}.attention", own.head_dim
    shape = (2 * own.heads * size, own.dim)
    parts = {"query": slice(size), "output_gate.up": slice(size, None)}
    entries = [
        Entry(f"{disk}.q_proj.weight", f"{ours}.{name}.kernel", hybrid.of_heads(own.heads, part), shape)
        for name, part in parts.items()
    ]
    for name in ("key", "value", "out"):
        entries += linear(f"{disk}.{name[0]}_proj", f"{ours}.{name}", bias=False)
    for name in ("query", "key"):
        entries.append(Entry(f"{disk}.{name[0]}_norm.weight", f"{ours}.{name}_norm.scale"))
    return entries


def _recurrence(own: Any, config: HybridConfig) -> list[Entry]:
    """Returns the entries of a recurrence {i}: each head of keys lies with the values that it serves."""
    disk, ours = "model.layers.{i}.linear_attn", "blocks.{i}.attention"
    mixer, gates = f"{ours}.recurrence", f"{ours}.recurrence.gates"
    keys = config.recurrent_key_heads or own.heads
    each = own.heads // keys
    served, values = (keys, each), each * own.value_dim
    sizes = {"query": own.head_dim, "key": own.head_dim, "value": values, "output_gate.up": values}
    entries = _interleaved(f"{disk}.in_proj_qkvz.weight", ours, sizes, own.dim, served)
    entries += _interleaved(
        f"{disk}.in_proj_ba.weight", gates, {"strength.up": each, "decay.step.up": each}, own.dim, served
    )
    kernels = {name: kept.kernel.shape for name, kept in own.recurrence.convolutions.items()}
    rows = [kernels[name][1] * kernels[name][2] for name in ("query", "key", "value")]
    taps = kernels["query"][0]
    ends = list(itertools.accumulate(rows, initial=0))
    for name, part in zip(("query", "key", "value"), itertools.pairwise(ends), strict=True):
        view, kernel = hybrid.taps_last(slice(*part)), f"{mixer}.convolutions.{name}.kernel"
        entries.append(Entry(f"{disk}.conv1d.weight", kernel, view, (ends[-1], 1, taps)))
    return [
        *entries,
        Entry(f"{disk}.dt_bias", f"{gates}.decay.step.up.bias"),
        Entry(f"{disk}.A_log", f"{gates}.decay.rate.raw"),
        Entry(f"{disk}.norm.weight", f"{ours}.norm.scale"),
        *linear(f"{disk}.out_proj", f"{ours}.out", bias=False),
    ]


def _interleaved(
    disk: str, ours: str, sizes: dict[str, int], inputs: int, served: tuple[int, int]
) -> list[Entry]:
    """Returns the entries of parts that each head of keys has in a row; some are of heads of values."""
    keys, each = served
    ends = list(itertools.accumulate(sizes.values(), initial=0))

    def view(start: int, end: int, heads: tuple[int, ...]) -> View:
        def of(tensor: np.ndarray) -> np.ndarray:
            part = reshaped(tensor, (keys, ends[-1], inputs))[:, start:end]
            return part if len(heads) == 1 else reshaped(part, (keys, each, -1, inputs))

        return of

    return [
        Entry(
            disk,
            f"{ours}.{name}.kernel",
            view(start, end, (keys,) if name in ("query", "key") else served),
            (keys * ends[-1], inputs),
            heads=None if name in ("query", "key") else served,
        )
        for name, (start, end) in zip(sizes, itertools.pairwise(ends), strict=True)
    ]


def _table(model: LanguageModel) -> list[Entry]:
    def layer(block: Any) -> list[Entry]:
        own, config = block.attention, model.config
        assert isinstance(config, HybridConfig)
        entries = _recurrence(own, config) if isinstance(own, RecurrentAttention) else _attention(own)
        return [*entries, *hybrid.feed_forward(block.feed_forward, shared="shared_expert")]

    return hybrid.table(model, layer)


FAMILY = llama.family("qwen3_next", "Qwen3NextForCausalLM", _read, _write, _table, ignored=(_FURTHER,))
