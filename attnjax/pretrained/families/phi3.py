"""Phi-3 and Phi-4: Llama whose query, key and value are one matrix, and gate and up another.

References:
  Abdin et al., Phi-3 Technical Report, 2024, arXiv:2404.14219.
"""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.families._shared import linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, rows
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.ignore("original_max_position_embeddings")  # Only of a scaling of rope, which is refused below.
    window = keys.optional("sliding_window", int)
    mechanism = decoder.mechanisms(["sliding_attention"], window)
    eps = keys.take("rms_norm_eps", 1e-5)
    length = keys.take("max_position_embeddings", 4096)
    return llama.read_llama(keys, tensors, mechanism=mechanism, norm_eps=eps, max_length=length)


def _write(model: LanguageModel) -> dict[str, Any]:
    window = decoder.write_windows(model.config)["sliding_window"]
    return llama.write_llama(model) | {"sliding_window": window}


def _table(model: LanguageModel) -> list[Entry]:
    config, own = model.config, model.blocks[0].attention
    queries, keys = (heads * own.head_dim for heads in (own.heads, own.kv_heads))
    attention, mlp = "model.layers.{i}.self_attn", "model.layers.{i}.mlp"
    sizes = {"query": queries, "key": keys, "value": keys}
    targets = {f"blocks.{{i}}.attention.{name}.kernel": size for name, size in sizes.items()}
    mine = rows(f"{attention}.qkv_proj.weight", targets, config.dim)
    mine += linear(f"{attention}.o_proj", "blocks.{i}.attention.out", bias=False)
    targets = {f"blocks.{{i}}.feed_forward.{name}.kernel": config.hidden_dim for name in ("gate", "up")}
    feed_forward = rows(f"{mlp}.gate_up_proj.weight", targets, config.dim)
    feed_forward += linear(f"{mlp}.down_proj", "blocks.{i}.feed_forward.down", bias=False)
    return llama.table(model, mine, feed_forward)


FAMILY = llama.family("phi3", "Phi3ForCausalLM", _read, _write, _table)
