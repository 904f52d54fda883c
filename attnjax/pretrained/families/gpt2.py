"""GPT-2: learned positions, LayerNorm before each layer, matrices as (in, out), query, key and value in one.

References:
  Radford et al., Language Models are Unsupervised Multitask Learners, 2019.
"""

from typing import Any

import numpy as np

from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained.families._shared import EMBEDDING, HEAD, UNGATED, layer_norm, name_of, tied
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, View, repeated
from attnjax.pretrained.tensors import Tensors


def _read(keys: Keys, tensors: Tensors) -> tuple[LanguageModelConfig, dict[str, Any]]:
    for name, value in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("reorder_and_upcast_attn", False),
        ("add_cross_attention", False),
    ):
        keys.only(name, value)
    keys.ignore("n_ctx", "summary_type", "summary_use_proj", "summary_activation", "summary_first_dropout")
    keys.ignore("summary_proj_to_labels")
    dim = keys.take("n_embd")
    config = LanguageModelConfig(
        dim=dim,
        heads=keys.take("n_head"),
        hidden=keys.take("n_inner", 4 * dim),
        layers=keys.take("n_layer"),
        max_length=keys.take("n_positions", 1024),
        positions="learned",
        norm_eps=keys.take("layer_norm_epsilon", 1e-5),
        activation=keys.choice("activation_function", UNGATED, "gelu_new"),
        output_bias=False,
        embedding_scale=1.0,
        tie_embeddings=tied(keys, tensors, "transformer.wte.weight", default=True),
    )
    return config, {"vocab": keys.take("vocab_size")}


def _write(model: LanguageModel) -> dict[str, Any]:
    config = model.config
    return {
        "n_embd": config.dim,
        "n_head": config.heads,
        "n_inner": config.hidden_dim,
        "n_layer": config.layers,
        "n_positions": config.max_length,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": name_of(config.activation, UNGATED),
        "tie_word_embeddings": config.tie_embeddings,
        "vocab_size": model.embedding.tokens.num_embeddings,
    }


def _third(number: int) -> View:
    """Returns the view of query, key or value, as (out, in), of the matrix or bias of all three."""

    def view(tensor: np.ndarray) -> np.ndarray:
        return np.split(tensor, 3, axis=-1)[number].T

    return view


def _table(model: LanguageModel) -> list[Entry]:
    dim, hidden = model.config.dim, model.config.hidden_dim
    block = []
    for number, name in enumerate(("query", "key", "value")):
        for disk, ours, shape in (("weight", "kernel", (dim, 3 * dim)), ("bias", "bias", (3 * dim,))):
            target = f"blocks.{{i}}.attention.{name}.{ours}"
            block.append(Entry(f"transformer.h.{{i}}.attn.c_attn.{disk}", target, _third(number), shape))
    for disk, ours, shape in (
        ("attn.c_proj", "attention.out", (dim, dim)),
        ("mlp.c_fc", "feed_forward.up", (dim, hidden)),
        ("mlp.c_proj", "feed_forward.down", (hidden, dim)),
    ):
        layer, target = f"transformer.h.{{i}}.{disk}", f"blocks.{{i}}.{ours}"
        block += [
            Entry(f"{layer}.weight", f"{target}.kernel", np.transpose, shape),
            Entry(f"{layer}.bias", f"{target}.bias"),
        ]
    entries = [
        Entry("transformer.wte.weight", EMBEDDING),
        Entry("transformer.wpe.weight", "embedding.table.embedding"),
        *layer_norm("transformer.ln_f", "norm"),
    ]
    block += layer_norm("transformer.h.{i}.ln_1", "blocks.{i}.attention_residual.norm")
    block += layer_norm("transformer.h.{i}.ln_2", "blocks.{i}.feed_forward_residual.norm")
    entries += repeated(block, model.config.layers)
    return entries if model.output is None else [*entries, Entry(HEAD, "output.kernel")]


FAMILY = Family(
    "gpt2",
    _read,
    _write,
    _table,
    LanguageModel,
    peer="GPT2LMHeadModel",
    prefix="transformer.",
    ties={HEAD: EMBEDDING},
    ignored=(r"transformer\.h\.\d+\.attn\.(?:masked_)?bias",),
)
