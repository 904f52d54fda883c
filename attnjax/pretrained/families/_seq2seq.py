"""What Marian and BART share: their keys, and the names of their layers."""

from typing import Any

from attnjax.models.config import TransformerConfig
from attnjax.models.encoder_decoder import Transformer
from attnjax.pretrained.families._shared import HEAD, UNGATED, layer_norm, linear, name_of, tied
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors

SHARED, BIAS = "model.shared.weight", "final_logits_bias"
SOURCE, TARGET = "source_embedding.tokens.embedding", "target_embedding.tokens.embedding"
NORM_EPS = 1e-5
TIES = {
    "model.encoder.embed_tokens.weight": SOURCE,
    "model.decoder.embed_tokens.weight": SOURCE,
    HEAD: SOURCE,
}
"""Tensors that may be copies of the shared embedding."""


def read_both(keys: Keys, name: str) -> int:
    """Returns what a key says of the encoder, which has to be what it says of the decoder."""
    value: int = keys.take(f"encoder_{name}")
    keys.only(f"decoder_{name}", value)
    return value


def read_seq2seq(
    keys: Keys,
    tensors: Tensors,
    embedding: str = SHARED,
    output: str = HEAD,
    *,
    length: str = "max_position_embeddings",
    **changes: Any,
) -> TransformerConfig:
    """Returns the config of an encoder-decoder.

    Args:
      keys: of its config.json.
      tensors: on disk.
      embedding: the tensor of the target's tokens.
      output: the tensor of the output.
      length: the key of the number of positions.
      changes: what is different in the family.
    """
    keys.ignore(
        "encoder_layerdrop", "decoder_layerdrop", "init_std", "classif_dropout", "static_position_embeddings"
    )
    keys.ignore("extra_pos_embeddings", "num_hidden_layers")
    for name in ("normalize_before", "add_final_layer_norm", "add_bias_logits", "is_decoder"):
        keys.only(name, False)
    keys.only("is_encoder_decoder", True)
    tie = tied(keys, tensors, embedding, output)
    settings: dict[str, Any] = {
        "dim": keys.take("d_model"),
        "heads": read_both(keys, "attention_heads"),
        "hidden": read_both(keys, "ffn_dim"),
        "encoder_layers": keys.take("encoder_layers"),
        "decoder_layers": keys.take("decoder_layers"),
        "max_length": keys.take(length),
        "norm_placement": "post",
        "norm_eps": NORM_EPS,
        "activation": keys.choice("activation_function", UNGATED, "gelu"),
        "embedding_scale": None if keys.take("scale_embedding", False) else 1.0,
        "share_embeddings": True,
        "tie_embeddings": tie,
        "tied_bias": tie and BIAS in tensors,
        "output_bias": BIAS in tensors,
    }
    return TransformerConfig(**settings | changes)


def write_seq2seq(model: Transformer) -> dict[str, Any]:
    """Returns what `read_seq2seq` reads as the config of a model."""
    config = model.config
    sizes = {"attention_heads": config.heads, "ffn_dim": config.hidden_dim}
    own = config.frames is not None
    both = {f"{side}_{name}": x for name, x in sizes.items() for side in ("encoder", "decoder")}
    return both | {
        "d_model": config.dim,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "max_position_embeddings": config.max_length,
        "activation_function": name_of(config.activation, UNGATED),
        "scale_embedding": config.filled().embedding_scale != 1,
        "tie_word_embeddings": config.tie_embeddings,
        "vocab_size": (model.target_embedding if own else model.source_embedding).tokens.num_embeddings,
    }


def layers(model: Transformer) -> list[Entry]:
    """Returns the entries of the layers of both sides."""
    config = model.config
    keys = config.attention_bias != "no_key"
    encoder = layer("encoder", ("attention", "attention"), config.encoder_layers, key_bias=keys)
    return encoder + layer("decoder", ("self_attention", "self"), config.decoder_layers, key_bias=keys)


def layer(side: str, own: tuple[str, str], count: int, *, key_bias: bool = True) -> list[Entry]:
    """Returns the entries of the layers of one side.

    Args:
      side: encoder or decoder.
      own: our names of its self-attention and of the residual connection of that.
      count: its layers.
      key_bias: whether keys have biases.
    """
    disk, ours = f"model.{side}.layers.{{i}}", f"{side}.{{i}}"
    parts = [("self_attn", *own)]
    if side == "decoder":
        parts.append(("encoder_attn", "cross_attention", "cross"))
    block = []
    for module, name, connection in parts:
        for letter, projection in {"q": "query", "k": "key", "v": "value", "out": "out"}.items():
            bias = key_bias or projection != "key"
            block += linear(f"{disk}.{module}.{letter}_proj", f"{ours}.{name}.{projection}", bias=bias)
        block += layer_norm(f"{disk}.{module}_layer_norm", f"{ours}.{connection}_residual.norm")
    block += linear(f"{disk}.fc1", f"{ours}.feed_forward.up")
    block += linear(f"{disk}.fc2", f"{ours}.feed_forward.down")
    block += layer_norm(f"{disk}.final_layer_norm", f"{ours}.feed_forward_residual.norm")
    return repeated(block, count)


def head(model: Transformer) -> list[Entry]:
    """Returns the entries of the output."""
    entries = [] if model.output is None else [Entry(HEAD, "output.kernel")]
    biased = model.output_bias is not None or (model.output is not None and model.output.bias is not None)
    if not biased:
        return entries
    vocab = (model.target_embedding.tokens or model.source_embedding.tokens).num_embeddings
    ours = "output_bias" if model.output is None else "output.bias"
    return [*entries, Entry(BIAS, ours, shape=(1, vocab))]
