"""GPT-NeoX and Pythia: blocks whose two layers read the same, rope of a part of each head.

References:
  Black et al., GPT-NeoX-20B, 2022, arXiv:2204.06745.
  Biderman et al., Pythia, 2023, arXiv:2304.01373.
"""

from typing import Any

import numpy as np

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families import _decoder as decoder
from attnjax.pretrained.families._shared import EMBEDDING, UNGATED, layer_norm, linear, name_of, tied
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, View, repeated, reshaped
from attnjax.pretrained.tensors import Tensors

_HEAD = "embed_out.weight"


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    keys.only("is_decoder", False, True)
    base = keys.take("rotary_emb_base", 10_000.0, kind=float)
    rope = decoder.read_rope(keys, base=base, fraction=keys.take("rotary_pct", 0.25, kind=float))
    config = LanguageModelConfig(
        dim=keys.take("hidden_size"),
        heads=keys.take("num_attention_heads"),
        hidden=keys.take("intermediate_size"),
        layers=keys.take("num_hidden_layers"),
        max_length=keys.take("max_position_embeddings", 2048),
        norm_eps=keys.take("layer_norm_eps", 1e-5),
        activation=keys.choice("hidden_act", UNGATED, "gelu"),
        parallel=keys.take("use_parallel_residual", True),
        attention_bias="all" if keys.take("attention_bias", True) else "none",
        output_bias=False,
        embedding_scale=1.0,
        tie_embeddings=tied(keys, tensors, "gpt_neox.embed_in.weight", _HEAD, default=False),
        **rope,
    )
    return config, {"vocab": keys.take("vocab_size")}


def _write(model: LanguageModel) -> dict[str, Any]:
    config = model.config
    return {
        "hidden_size": config.dim,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.max_length,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": name_of(config.activation, UNGATED),
        "rotary_pct": config.rope_fraction,
        "use_parallel_residual": config.parallel,
        "attention_bias": config.filled().attention_bias == "all",
        "tie_word_embeddings": config.tie_embeddings,
        "vocab_size": model.embedding.tokens.num_embeddings,
    } | decoder.write_rope(config)


def _third(number: int, heads: int) -> View:
    """Returns the view of query, key or value in what each head has of all three, one after the other."""

    def view(tensor: np.ndarray) -> np.ndarray:
        return reshaped(tensor, (heads, 3, -1, *tensor.shape[1:]))[:, number]

    return view


def _table(model: LanguageModel) -> list[Entry]:
    config = model.config.filled()
    layer, shapes = "gpt_neox.layers.{i}", {"weight": (3 * config.dim, config.dim), "bias": (3 * config.dim,)}
    if config.attention_bias == "none":
        del shapes["bias"]
    block = [
        Entry(
            f"{layer}.attention.query_key_value.{disk}",
            f"blocks.{{i}}.attention.{name}.{'kernel' if disk == 'weight' else 'bias'}",
            _third(number, config.heads),
            shape,
        )
        for number, name in enumerate(("query", "key", "value"))
        for disk, shape in shapes.items()
    ]
    block += linear(f"{layer}.attention.dense", "blocks.{i}.attention.out", bias="bias" in shapes)
    block += linear(f"{layer}.mlp.dense_h_to_4h", "blocks.{i}.feed_forward.up", bias=True)
    block += linear(f"{layer}.mlp.dense_4h_to_h", "blocks.{i}.feed_forward.down", bias=True)
    block += layer_norm(f"{layer}.input_layernorm", "blocks.{i}.attention_residual.norm")
    block += layer_norm(f"{layer}.post_attention_layernorm", "blocks.{i}.feed_forward_residual.norm")
    entries = [Entry("gpt_neox.embed_in.weight", EMBEDDING)]
    entries += layer_norm("gpt_neox.final_layer_norm", "norm")
    entries += repeated(block, config.layers)
    return entries if model.output is None else [*entries, Entry(_HEAD, "output.kernel")]


FAMILY = Family(
    "gpt_neox",
    _read,
    _write,
    _table,
    LanguageModel,
    peer="GPTNeoXForCausalLM",
    prefix="gpt_neox.",
    aliases=((r"^lm_head\.weight$", _HEAD),),
    ties={_HEAD: EMBEDDING},
    ignored=(r"gpt_neox\.layers\.\d+\.attention\.(?:bias|masked_bias|rotary_emb\.inv_freq)",),
)
