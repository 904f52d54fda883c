"""What decoders with latent attention, recurrences and mixtures behind dense layers share."""

from collections.abc import Callable, Mapping
from typing import Any

from attnjax.config import InputError
from attnjax.mechanisms import over_layers, read
from attnjax.models.hybrid_config import HybridConfig
from attnjax.models.language_model import LanguageModel
from attnjax.nn import FeedForward, LatentAttention
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families import _llama as llama
from attnjax.pretrained.families._shared import linear
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, View, of_experts, reshaped, rows

MLP = "model.layers.{i}.mlp"
PROJECTIONS = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
"""The matrices of a feed-forward layer, by our names."""
_KINDS = {True: "linear_attention", False: "full_attention"}


def read_latent(keys: Keys, *, query_rank: int | None) -> dict[str, Any]:
    """Returns the mechanism and the sizes of latent attention; `query_rank` where the config does not say."""
    keys.ignore("head_dim", "qk_head_dim")  # They follow from the others.
    ranks = {
        "kv_rank": keys.take("kv_lora_rank", 512),
        "query_rank": keys.nullable("q_lora_rank", query_rank, int),
        "rope_dim": keys.take("qk_rope_head_dim", 64),
    }
    given = ", ".join(f"{name}={rank}" for name, rank in ranks.items() if rank is not None)
    return {
        "mechanism": f"mla({given})",
        "head_dim": keys.take("qk_nope_head_dim", 128),
        "value_dim": keys.take("v_head_dim", 128),
    }


def write_latent(config: HybridConfig) -> dict[str, Any]:
    """Returns what `read_latent` reads as the latent attention of a config."""
    (options,) = {
        tuple(part.options.items())
        for choice in over_layers(read(config.mechanism), config.layers)
        for part in choice.parts
        if part.row.name == "mla"
    }
    ranks, filled = dict(options), config.filled()
    return {
        "kv_lora_rank": ranks["kv_rank"],
        "q_lora_rank": ranks.get("query_rank"),
        "qk_rope_head_dim": ranks["rope_dim"],
        "qk_nope_head_dim": filled.head_dim,
        "v_head_dim": filled.value_dim,
    }


def latent(own: LatentAttention) -> list[Entry]:
    """Returns the entries of the latent attention of a layer {i}."""
    disk, ours = "model.layers.{i}.self_attn", "blocks.{i}.attention"
    biased, down = own.out.bias is not None, f"{disk}.kv_a_proj_with_mqa"
    sizes = {"compress": own.kv_rank, "rope_key": own.rope_dim}
    entries = rows(f"{down}.weight", {f"{ours}.{name}.kernel": n for name, n in sizes.items()}, own.dim)
    if biased:
        ends = {"compress": slice(own.kv_rank), "rope_key": slice(own.kv_rank, None)}
        entries += [
            Entry(f"{down}.bias", f"{ours}.{name}.bias", _rows(part), (sum(sizes.values()),))
            for name, part in ends.items()
        ]
    entries.append(Entry(f"{disk}.kv_a_layernorm.weight", f"{ours}.compress_norm.scale"))
    size, shape = own.content_dim, (own.heads * (own.content_dim + own.value_dim), own.kv_rank)
    for name, part in {"key": slice(size), "value": slice(size, None)}.items():
        view = of_heads(own.heads, part)
        entries.append(Entry(f"{disk}.kv_b_proj.weight", f"{ours}.{name}.kernel", view, shape))
    if own.query_rank is None:
        entries += linear(f"{disk}.q_proj", f"{ours}.query", bias=False)
    else:
        entries += linear(f"{disk}.q_a_proj", f"{ours}.query_down", bias=biased)
        entries.append(Entry(f"{disk}.q_a_layernorm.weight", f"{ours}.query_down_norm.scale"))
        entries += linear(f"{disk}.q_b_proj", f"{ours}.query", bias=False)
    return [*entries, *linear(f"{disk}.o_proj", f"{ours}.out", bias=biased)]


def of_heads(heads: int, part: slice) -> View:
    """Returns the view of some of the rows of each head, where heads have theirs one after the other."""
    return lambda tensor: reshaped(tensor, (heads, -1, *tensor.shape[1:]))[:, part]


def _rows(part: slice) -> View:
    return lambda tensor: tensor[part]


def taps_last(part: slice) -> View:
    """Returns the view of the kernel of some channels (channels, 1, taps), the newest tap first."""
    return lambda tensor: tensor[part, 0, ::-1]


def feed_forward(
    own: Any,
    disk: str = MLP,
    names: Mapping[str, str] = PROJECTIONS,
    *,
    shared: str = "shared_experts",
) -> list[Entry]:
    """Returns the entries of the feed-forward layer of a layer {i}, dense or a mixture.

    Args:
      own: the layer.
      disk: the name of a mixture; a dense one has Llama's.
      names: of the matrices of an expert.
      shared: the name of the expert for all.
    """
    ours = "blocks.{i}.feed_forward"
    if isinstance(own, FeedForward):
        return _matrices(MLP, ours)
    one = [Entry(f"{disk}.experts.{{e}}.{names[name]}.weight", f"{ours}.{name}.kernel") for name in names]
    entries = [Entry(f"{disk}.gate.weight", f"{ours}.router.kernel"), *of_experts(one, own.experts)]
    if own.correction is not None:
        entries.append(Entry(f"{disk}.gate.e_score_correction_bias", f"{ours}.correction"))
    if own.shared is not None:
        entries += _matrices(f"{disk}.{shared}", f"{ours}.shared")
    if own.shared_gate is not None:
        shape = (1, *own.shared_gate.shape)
        entries.append(Entry(f"{disk}.{shared}_gate.weight", f"{ours}.shared_gate", shape=shape))
    return entries


def _matrices(disk: str, ours: str) -> list[Entry]:
    return [Entry(f"{disk}.{name}.weight", f"{ours}.{part}.kernel") for part, name in PROJECTIONS.items()]


def table(model: LanguageModel, layer: Callable[[Any], list[Entry]]) -> list[Entry]:
    """Returns the entries of a decoder; `layer`: those of what is special in a block."""
    entries, norms = llama.around(model), llama.norms(model)
    for i, block in enumerate(model.blocks):
        entries += [entry.numbered(i=i) for entry in (*layer(block), *norms)]
    return entries


def read_kinds(keys: Keys, default: Callable[[int], bool], recurrence: str, attention: str) -> str:
    """Returns the mechanisms of layers that are recurrences or attention.

    Args:
      keys: of the config.json.
      default: True for the layers that are recurrences, from 0, where the config does not say.
      recurrence: the mechanism of those.
      attention: the mechanism of the others.
    """
    layers = range(keys.take("num_hidden_layers"))
    kinds = decoder.read_kinds(keys, [_KINDS[default(i)] for i in layers])
    names = {_KINDS[True]: recurrence, _KINDS[False]: attention}
    for kind in kinds:
        if kind not in names:
            raise InputError(f"{keys.label} has layer_types with {kind!r}: expected {' or '.join(names)}")
    return " + ".join(names[kind] for kind in kinds)


def write_kinds(config: HybridConfig) -> dict[str, Any]:
    """Returns what `read_kinds` reads as the mechanisms of a config."""
    choices = over_layers(read(config.mechanism), config.layers)
    return {"layer_types": [_KINDS[choice.row.kind == "recurrence"] for choice in choices]}
