"""What decoder-only families share: the tie of the head, rotary positions, the names of Llama's layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attnjax.config import InputError
from attnjax.mechanisms import over_layers, read
from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors, same

EMBEDDING = "embedding.tokens.embedding"
HEAD = "lm_head.weight"
Read = Callable[[Keys, Tensors], tuple[LanguageModelConfig, dict[str, Any]]]
Write = Callable[[LanguageModel], dict[str, Any]]
Table = Callable[[LanguageModel], list[Entry]]
GATED = {"silu": "swiglu", "swish": "swiglu", "gelu_pytorch_tanh": "geglu", "gelu": "geglu_exact"}
"""The activation of a gated feed-forward layer by that of its gate."""
UNGATED = {
    "gelu": "gelu_exact",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""The activation of a feed-forward layer without a gate."""


def name_of(ours: str, names: Mapping[str, str]) -> str:
    """Returns the first name on disk of what we call so, or what we call it where there is none."""
    return next((name for name, value in names.items() if value == ours), ours)


def tied(keys: Keys, tensors: Tensors, embedding: str, *, default: bool) -> bool:
    """Returns True where the head is the embedding: the config says so, and no other head is on disk."""
    said = keys.take("tie_word_embeddings", default)
    head = tensors.get(HEAD)
    return said and (head is None or same(head, tensors.get(embedding)))


def mechanisms(kinds: Sequence[str], window: int | None, recipes: str = "") -> str:
    """Returns the pattern of mechanisms of layers that see all or a window.

    Args:
      kinds: "sliding_attention" or "full_attention" of each layer.
      window: the tokens that the former see.
      recipes: what all layers have besides, joined by &.

    Example:
      >>> mechanisms(["sliding_attention", "full_attention"] * 3, 8, "softcap(c=50.0)")
      'window(size=8) & softcap(c=50.0) + softcap(c=50.0)'
    """
    texts = []
    for kind in kinds:
        if kind not in ("sliding_attention", "full_attention"):
            raise InputError(f"layer_types has {kind!r}: expected 'sliding_attention' or 'full_attention'")
        parts = [f"window(size={window})"] * (kind == "sliding_attention" and window is not None)
        texts.append(" & ".join([*parts, *[recipes] * bool(recipes)]) or "softmax")
    period = next(n for n in range(1, len(texts) + 1) if all(x == texts[i % n] for i, x in enumerate(texts)))
    return " + ".join(texts[:period])


def write_windows(config: LanguageModelConfig) -> dict[str, Any]:
    """Returns the kinds of layers, and the window of those that have one."""
    choices = over_layers(read(config.mechanism), config.layers)
    windows = [
        part.options["size"] for choice in choices for part in choice.parts if part.row.name == "window"
    ]
    kinds = [
        "sliding_attention" if any(part.row.name == "window" for part in choice.parts) else "full_attention"
        for choice in choices
    ]
    return {"layer_types": kinds, "sliding_window": windows[0] if windows else None}


def read_rope(
    keys: Keys, *, base: float = 10_000.0, fraction: float = 1.0, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the settings of rotary positions, as older and newer config.json have them.

    Args:
      keys: of the config.json.
      base: where it does not say.
      fraction: of each head that is rotated, where it does not say.
      given: what stands for its rope_parameters.
    """
    newer = keys.optional("rope_parameters") if given is None else given
    older = keys.optional("rope_scaling") or {}
    outer = {
        "rope_theta": keys.optional("rope_theta"),
        "partial_rotary_factor": keys.optional("partial_rotary_factor"),
    }
    found = {name: value for name, value in outer.items() if value is not None} | dict(newer or older)
    rope = Keys(found, f"{keys.label}: rope_parameters")
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
        if kind == "yarn":
            rope.only("attention_factor", None)
            settings["rope_truncate"] = rope.take("truncate", True)
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
    if not config.rope_truncate:
        rope["truncate"] = False
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
    settings |= read_rope(keys) if "rope_base" not in changes else {}
    return LanguageModelConfig(**settings | changes), {"vocab": keys.take("vocab_size")}


def read_late_windows(keys: Keys) -> str:
    """Returns the mechanisms of Qwen's layers, of which the last may have a window."""
    layers, size = keys.take("num_hidden_layers"), keys.nullable("sliding_window", 4096)
    window = size if keys.take("use_sliding_window", False) else None
    first = keys.take("max_window_layers", 28)
    late = ["full_attention" if i < first else "sliding_attention" for i in range(layers)]
    given = keys.optional("layer_types")
    return mechanisms(late if given is None else given, window)


def write_late_windows(config: LanguageModelConfig) -> dict[str, Any]:
    """Returns what `read_late_windows` reads as the mechanisms of a config."""
    written = write_windows(config)
    return written | {"use_sliding_window": written["sliding_window"] is not None}


def read_gemma(
    keys: Keys,
    tensors: Tensors,
    kinds: list[str],
    *,
    caps: tuple[float | None, float | None] = (None, None),
    **changes: Any,
) -> tuple[LanguageModelConfig, dict[str, Any]]:
    """Returns the config of a Gemma 2 or 3, and its vocabulary.

    Args:
      keys: of its config.json.
      tensors: on disk.
      kinds: of its layers, where the config does not say.
      caps: of the scores and of the logits, where the config does not say.
      changes: what is different in the family.
    """
    keys.only("use_bidirectional_attention", False)
    keys.only("attention_bias", False)
    keys.only("hidden_act", "gelu_pytorch_tanh")
    given = keys.optional("layer_types")
    scores, logits = (
        keys.nullable(f"{name}_logit_softcapping", cap)
        for name, cap in zip(("attn", "final"), caps, strict=True)
    )
    recipes = "" if scores is None else f"softcap(c={float(scores)})"
    return read_llama(
        keys,
        tensors,
        tie=True,
        head_dim=keys.take("head_dim", 256),
        norm="rms_offset",
        norm_placement="sandwich",
        activation=keys.choice("hidden_activation", GATED, "gelu_pytorch_tanh"),
        embedding_scale=None,
        attention_scale=keys.take("query_pre_attn_scalar", 256, kind=float) ** -0.5,
        mechanism=mechanisms(
            kinds if given is None else given, keys.nullable("sliding_window", 4096), recipes
        ),
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


def linear(disk: str, ours: str, *, bias: bool = True) -> list[Entry]:
    """Returns the entries of a linear map."""
    return [Entry(f"{disk}.weight", f"{ours}.kernel"), *[Entry(f"{disk}.bias", f"{ours}.bias")] * bias]


def llama_attention(model: LanguageModel, disk: str = "model.layers.{i}.self_attn") -> list[Entry]:
    """Returns the entries of the attention of a layer."""
    own, entries = model.blocks[0].attention, []
    for ours in ("query", "key", "value", "out"):
        biased = getattr(own, ours).bias is not None
        entries += linear(f"{disk}.{ours[0]}_proj", f"blocks.{{i}}.attention.{ours}", bias=biased)
    for ours in ("query", "key") if model.config.qk_norm else ():
        entries.append(Entry(f"{disk}.{ours[0]}_norm.weight", f"blocks.{{i}}.attention.{ours}_norm.scale"))
    return entries


def llama_feed_forward(model: LanguageModel) -> list[Entry]:
    """Returns the entries of the feed-forward part of a layer."""
    entries = []
    for ours in ("gate", "up", "down"):
        disk = f"model.layers.{{i}}.mlp.{ours}_proj"
        entries += linear(disk, f"blocks.{{i}}.feed_forward.{ours}", bias=model.config.bias)
    return entries


def llama_table(
    model: LanguageModel, attention: list[Entry] | None = None, feed_forward: list[Entry] | None = None
) -> list[Entry]:
    """Returns the entries of a decoder with Llama's names, but for parts of its layers that are given."""
    layer = [*(llama_attention(model) if attention is None else attention)]
    layer += llama_feed_forward(model) if feed_forward is None else feed_forward
    layer += [
        Entry(f"model.layers.{{i}}.{disk}_layernorm.weight", f"blocks.{{i}}.{ours}.scale")
        for disk, ours in _NORMS[model.config.norm_placement].items()
    ]
    entries = [Entry("model.embed_tokens.weight", EMBEDDING), Entry("model.norm.weight", "norm.scale")]
    entries += repeated(layer, model.config.layers)
    return entries if model.output is None else [*entries, Entry(HEAD, "output.kernel")]


def llama_like(
    name: str, peer: str, read: Read, write: Write = write_llama, table: Table = llama_table
) -> Family:
    """Returns a family of decoders with Llama's names."""
    computed = r"model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    ties = {HEAD: EMBEDDING}
    return Family(name, read, write, table, LanguageModel, peer, "model.", ties=ties, ignored=(computed,))
