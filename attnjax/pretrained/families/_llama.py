"""What families with Llama's keys and names share; what is different in one, it says itself."""

from collections.abc import Callable
from typing import Any

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families._decoder import read_rope, write_rope
from attnjax.pretrained.families._shared import EMBEDDING, GATED, HEAD, linear, name_of, tied
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

Read = Callable[[Keys, Tensors], tuple[LanguageModelConfig, dict[str, Any]]]
Write = Callable[[LanguageModel], dict[str, Any]]
Table = Callable[[LanguageModel], list[Entry]]
_NORMS = {
    "pre": {"input": "attention_residual.norm", "post_attention": "feed_forward_residual.norm"},
    "inner": {"post_attention": "attention_residual.norm", "post_feedforward": "feed_forward_residual.norm"},
    "sandwich": {
        "input": "attention_residual.norm",
        "post_attention": "attention_residual.after",
        "pre_feedforward": "feed_forward_residual.norm",
        "post_feedforward": "feed_forward_residual.after",
    },
}
"""The norms of a layer on disk, by where our config has them."""


def read_llama(
    keys: Keys,
    tensors: Tensors,
    *,
    tie: bool = False,
    kv_heads: int | None = None,
    config: type[LanguageModelConfig] = LanguageModelConfig,
    **changes: Any,
) -> tuple[LanguageModelConfig, dict[str, Any]]:
    """Returns the config of a decoder with Llama's shape, and its vocabulary.

    Args:
      keys: of its config.json.
      tensors: on disk.
      tie: whether the head is the embedding where the config does not say.
      kv_heads: where the config does not say; None, and where it says null: one for each head.
      config: the class of the config.
      changes: what is different in the family.
    """
    heads = keys.take("num_attention_heads")
    dim = keys.take("hidden_size")
    settings: dict[str, Any] = {
        "dim": dim,
        "heads": heads,
        "kv_heads": keys.nullable("num_key_value_heads", kv_heads, int) or heads,
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
    settings |= read_rope(keys) if "rope_base" not in changes else {}
    return config(**settings | changes), {"vocab": keys.take("vocab_size")}


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
        "hidden_act": name_of(config.activation, GATED),
        "tie_word_embeddings": config.tie_embeddings,
        "vocab_size": model.embedding.tokens.num_embeddings,
    } | write_rope(config)


def read_attention_bias(keys: Keys) -> str:
    """Returns the projections of attention that have biases: all or none, as `attention_bias` says."""
    return "all" if keys.take("attention_bias", False) else "none"


def write_attention_bias(model: LanguageModel) -> dict[str, Any]:
    """Returns what `read_attention_bias` reads as the biases of a model."""
    return {"attention_bias": model.blocks[0].attention.out.bias is not None}


def self_attention(model: LanguageModel) -> list[Entry]:
    """Returns the entries of the attention of a layer {i}."""
    own, disk, entries = model.blocks[0].attention, "model.layers.{i}.self_attn", []
    for ours in ("query", "key", "value", "out"):
        biased = getattr(own, ours).bias is not None
        entries += linear(f"{disk}.{ours[0]}_proj", f"blocks.{{i}}.attention.{ours}", bias=biased)
    for ours in ("query", "key") if model.config.qk_norm else ():
        entries.append(Entry(f"{disk}.{ours[0]}_norm.weight", f"blocks.{{i}}.attention.{ours}_norm.scale"))
    return entries


def _feed_forward(model: LanguageModel) -> list[Entry]:
    """Returns the entries of the feed-forward part of a layer {i}."""
    entries = []
    for ours in ("gate", "up", "down"):
        disk = f"model.layers.{{i}}.mlp.{ours}_proj"
        entries += linear(disk, f"blocks.{{i}}.feed_forward.{ours}", bias=model.config.bias)
    return entries


def table(
    model: LanguageModel, attention: list[Entry] | None = None, feed_forward: list[Entry] | None = None
) -> list[Entry]:
    """Returns the entries of a decoder with Llama's names, but for parts of its layers that are given."""
    layer = [*(self_attention(model) if attention is None else attention)]
    layer += _feed_forward(model) if feed_forward is None else feed_forward
    layer += norms(model)
    return [*around(model), *repeated(layer, model.config.layers)]


def norms(model: LanguageModel) -> list[Entry]:
    """Returns the entries of the norms of a layer {i}."""
    return [
        Entry(f"model.layers.{{i}}.{disk}_layernorm.weight", f"blocks.{{i}}.{ours}.scale")
        for disk, ours in _NORMS[model.config.norm_placement].items()
    ]


def around(model: LanguageModel) -> list[Entry]:
    """Returns the entries of what is outside the layers."""
    entries = [Entry("model.embed_tokens.weight", EMBEDDING), Entry("model.norm.weight", "norm.scale")]
    return entries if model.output is None else [*entries, Entry(HEAD, "output.kernel")]


def family(
    name: str,
    peer: str,
    read: Read,
    write: Write = write_llama,
    table: Table = table,
    *,
    aliases: tuple[tuple[str, str], ...] = (),
    ignored: tuple[str, ...] = (),
) -> Family:
    """Returns a family of decoders with Llama's names; aliases and what is ignored as in `Family`."""
    computed = r"model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    return Family(
        name,
        read,
        write,
        table,
        LanguageModel,
        peer,
        "model.",
        aliases=aliases,
        ties={HEAD: EMBEDDING},
        ignored=(computed, *ignored),
    )
