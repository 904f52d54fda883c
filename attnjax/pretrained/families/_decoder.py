"""What decoder-only families share: the tie of the head, rotary positions, the names of Llama's layers."""

from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors, same

EMBEDDING = "embedding.tokens.embedding"
HEAD = "lm_head.weight"
GATED = {"silu": "swiglu", "swish": "swiglu", "gelu_pytorch_tanh": "geglu", "gelu": "geglu_exact"}
"""The activation of a gated feed-forward layer by that of its gate."""


def tied(keys: Keys, tensors: Tensors, embedding: str, *, default: bool) -> bool:
    """Returns True where the head is the embedding: the config says so, and no other head is on disk."""
    said = keys.take("tie_word_embeddings", default)
    head = tensors.get(HEAD)
    return said and (head is None or same(head, tensors.get(embedding)))


def read_rope(keys: Keys, *, base: float = 10_000.0, fraction: float = 1.0) -> dict[str, Any]:
    """Returns the settings of rotary positions, as older and newer config.json have them."""
    newer = keys.optional("rope_parameters")
    older = keys.optional("rope_scaling") or {}
    outer = {
        "rope_theta": keys.optional("rope_theta"),
        "partial_rotary_factor": keys.optional("partial_rotary_factor"),
    }
    given = {name: value for name, value in outer.items() if value is not None} | dict(newer or older)
    rope = Keys(given, f"{keys.label}: rope_parameters")
    kind = rope.optional("rope_type") or rope.optional("type") or "default"
    rope.ignore("type")
    settings: dict[str, Any] = {
        "rope_base": float(rope.take("rope_theta", base, kind=float)),
        "rope_fraction": float(rope.take("partial_rotary_factor", fraction, kind=float)),
    }
    if kind == "linear":
        settings |= {"rope_scaling": "linear", "rope_factor": float(rope.take("factor", kind=float))}
    elif kind in ("llama3", "yarn"):
        slow, fast = {"llama3": ("low_freq_factor", "high_freq_factor"), "yarn": ("beta_slow", "beta_fast")}[
            kind
        ]
        settings |= {
            "rope_scaling": kind,
            "rope_factor": float(rope.take("factor", kind=float)),
            "rope_original_length": rope.optional("original_max_position_embeddings"),
            "rope_slow_turns": float(rope.take(slow, 1.0, kind=float)),
            "rope_fast_turns": float(rope.take(fast, {"llama3": 4.0, "yarn": 32.0}[kind], kind=float)),
        }
    else:
        rope.only("rope_type", "default")
    rope.finish()
    return settings


def write_rope(config: LanguageModelConfig) -> dict[str, Any]:
    """Returns what `read_rope` reads as the settings of a config."""
    rope: dict[str, Any] = {"rope_type": config.rope_scaling or "default", "rope_theta": config.rope_base}
    if config.rope_fraction != 1:
        rope["partial_rotary_factor"] = config.rope_fraction
    if config.rope_scaling is not None:
        rope["factor"] = config.rope_factor
    if config.rope_scaling in ("llama3", "yarn"):
        slow, fast = {"llama3": ("low_freq_factor", "high_freq_factor"), "yarn": ("beta_slow", "beta_fast")}[
            config.rope_scaling
        ]
        rope["original_max_position_embeddings"] = config.rope_original_length or config.max_length
        rope |= {
            slow: config.rope_slow_turns,
            fast: config.rope_fast_turns or {"llama3": 4.0, "yarn": 32.0}[config.rope_scaling],
        }
    return {"rope_parameters": rope}


def layer_norm(disk: str, ours: str) -> list[Entry]:
    """Returns the entries of gain and bias of a LayerNorm."""
    return [Entry(f"{disk}.weight", f"{ours}.scale"), Entry(f"{disk}.bias", f"{ours}.bias")]


def read_llama(
    keys: Keys, tensors: Tensors, *, tie: bool = False, **changes: Any
) -> tuple[LanguageModelConfig, dict[str, Any]]:
    """Returns the config of a decoder with Llama's shape, and its vocabulary.

    Args:
      keys: of its config.json.
      tensors: on disk.
      tie: whether the head is the embedding where the config does not say.
      changes: what is different in the family.
    """
    heads = keys.take("num_attention_heads")
    dim = keys.take("hidden_size")
    settings: dict[str, Any] = {
        "dim": dim,
        "heads": heads,
        "kv_heads": keys.take("num_key_value_heads", heads),
        "head_dim": keys.take("head_dim", dim // heads),
        "hidden": keys.take("intermediate_size"),
        "layers": keys.take("num_hidden_layers"),
        "max_length": keys.take("max_position_embeddings", 2048),
        "norm": "rms",
        "norm_eps": float(keys.take("rms_norm_eps", 1e-6, kind=float)),
        "activation": keys.choice("hidden_act", GATED, "silu"),
        "bias": False,
        "embedding_scale": 1.0,
        "tie_embeddings": tied(keys, tensors, "model.embed_tokens.weight", default=tie),
    }
    if "rope_base" not in changes:
        settings |= read_rope(keys)
    return LanguageModelConfig(**settings | changes), {"vocab": keys.take("vocab_size")}


def write_llama(model: LanguageModel) -> dict[str, Any]:
    """Returns what `read_llama` reads as the config of a model."""
    config = model.config
    return {
        "hidden_size": config.dim,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads or config.heads,
        "head_dim": config.head_size,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.max_length,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": next(
            (name for name, ours in GATED.items() if ours == config.activation), config.activation
        ),
        "tie_word_embeddings": config.tie_embeddings,
        "vocab_size": model.embedding.tokens.num_embeddings,
    } | write_rope(config)


def llama_table(model: LanguageModel, *layer: Entry) -> list[Entry]:
    """Returns the entries of a decoder with Llama's names; `layer`: what its layers have besides."""
    attention, mlp = "model.layers.{i}.self_attn", "model.layers.{i}.mlp"
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}
    block = [
        Entry(f"{attention}.{disk}.weight", f"blocks.{{i}}.attention.{ours}.kernel")
        for ours, disk in names.items()
    ]
    own = model.blocks[0].attention
    block += [
        Entry(f"{attention}.{disk}.bias", f"blocks.{{i}}.attention.{ours}.bias")
        for ours, disk in names.items()
        if getattr(own, ours).bias is not None
    ]
    if model.config.qk_norm:
        block += [
            Entry(f"{attention}.{name[0]}_norm.weight", f"blocks.{{i}}.attention.{name}_norm.scale")
            for name in ("query", "key")
        ]
    for ours in ("gate", "up", "down"):
        block.append(Entry(f"{mlp}.{ours}_proj.weight", f"blocks.{{i}}.feed_forward.{ours}.kernel"))
        if model.config.bias:
            block.append(Entry(f"{mlp}.{ours}_proj.bias", f"blocks.{{i}}.feed_forward.{ours}.bias"))
    block += [
        Entry("model.layers.{i}.input_layernorm.weight", "blocks.{i}.attention_residual.norm.scale"),
        Entry(
            "model.layers.{i}.post_attention_layernorm.weight", "blocks.{i}.feed_forward_residual.norm.scale"
        ),
    ]
    entries = [Entry("model.embed_tokens.weight", EMBEDDING), Entry("model.norm.weight", "norm.scale")]
    entries += repeated([*block, *layer], model.config.layers)
    return entries if model.output is None else [*entries, Entry(HEAD, "output.kernel")]
