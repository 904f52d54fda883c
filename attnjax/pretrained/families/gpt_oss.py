"""gpt-oss: experts with a clipped gate, a sink of each head, every second layer with a window, YaRN.

The weights that OpenAI published are quantised to MXFP4, which is refused; those in bfloat16 are read.

References:
  OpenAI, gpt-oss-120b & gpt-oss-20b Model Card, 2025, arXiv:2508.10925.
"""

from typing import Any

import numpy as np

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.nn.activation import CLIPPED
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.families._shared import linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, View
from attnjax.pretrained.tensors import Tensors

_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
"""Of a config.json that says nothing of it."""


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.only("hidden_act", "silu")
    keys.only("swiglu_alpha", 1.702)
    keys.only("swiglu_limit", CLIPPED)
    keys.only("attention_bias", True)
    keys.ignore(
        "initial_context_length", "experts_per_token", "rope_ntk_alpha"
    )  # Other words for other keys.
    layers = range(keys.take("num_hidden_layers"))
    kinds = decoder.read_kinds(keys, [("sliding_attention", "full_attention")[i % 2] for i in layers])
    said = keys.optional("rope_parameters", dict) or keys.optional("rope_scaling", dict)
    rope = decoder.read_rope(keys, base=150_000.0, given=None if said else _ROPE)
    return llama.read_llama(
        keys,
        tensors,
        kv_heads=8,
        max_length=keys.take("max_position_embeddings", 131_072),
        norm_eps=keys.take("rms_norm_eps", 1e-5),
        head_dim=keys.take("head_dim", 64),
        bias=True,
        output_bias=False,
        activation="swiglu_clipped",
        experts=keys.take("num_local_experts", 128),
        active_experts=keys.take("num_experts_per_tok", 4),
        mechanism=decoder.mechanisms(kinds, keys.nullable("sliding_window", 128, int), "sink"),
        **rope,
    )


def _write(model: LanguageModel) -> dict[str, Any]:
    config = model.config
    return (
        llama.write_llama(model)
        | decoder.write_windows(config)
        | {
            "hidden_act": "silu",
            "attention_bias": True,
            "swiglu_limit": CLIPPED,
            "num_local_experts": config.experts,
            "num_experts_per_tok": config.active_experts,
        }
    )


def _every_second(start: int) -> View:
    """Returns the view of gates or of what they gate, which take turns along the last axis, as (out, in)."""

    def view(tensor: np.ndarray) -> np.ndarray:
        meant = tensor[..., start::2]
        return meant.swapaxes(1, 2) if meant.ndim == 3 else meant

    return view


def _table(model: LanguageModel) -> list[Entry]:
    config = model.config.filled()
    experts, dim, hidden = config.experts or 0, config.dim, config.hidden_dim
    disk, ours = "model.layers.{i}.mlp", "blocks.{i}.feed_forward"
    both = f"{disk}.experts.gate_up_proj"
    mixture = linear(f"{disk}.router", f"{ours}.router", bias=True)
    for start, name in enumerate(("gate", "up")):
        view = _every_second(start)
        mixture.append(Entry(both, f"{ours}.{name}.kernel", view, (experts, dim, 2 * hidden)))
        mixture.append(Entry(f"{both}_bias", f"{ours}.{name}.bias", view, (experts, 2 * hidden)))
    down = f"{disk}.experts.down_proj"
    mixture.append(Entry(down, f"{ours}.down.kernel", lambda x: x.swapaxes(1, 2), (experts, hidden, dim)))
    mixture.append(Entry(f"{down}_bias", f"{ours}.down.bias"))
    sink = Entry("model.layers.{i}.self_attn.sinks", "blocks.{i}.attention.made.sink.logits")
    return llama.table(model, [*llama.self_attention(model), sink], mixture)


FAMILY = llama.family("gpt_oss", "GptOssForCausalLM", _read, _write, _table)
