"""T5 and its 1.1 and Flan versions: learned biases by distance, no scale of scores, RMSNorm, no other biases.

References:
  Raffel et al., Exploring the Limits of Transfer Learning, 2020, arXiv:1910.10683.
  Chung et al., Scaling Instruction-Finetuned Language Models, 2022, arXiv:2210.11416 (Flan).
"""

from typing import Any

from attnjax.config import InputError
from attnjax.models.config import TransformerConfig
from attnjax.models.encoder_decoder import Transformer
from attnjax.pretrained.families._seq2seq import SOURCE
from attnjax.pretrained.families._shared import HEAD, name_of
from attnjax.pretrained.family import Family
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry, repeated
from attnjax.pretrained.tensors import Tensors, same

_SHARED = "shared.weight"
_ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu_exact",
    "gelu_new": "gelu",
    "silu": "silu",
    "gated-gelu": "geglu",
    "gated-silu": "swiglu",
    "gated-relu": "reglu",
}
_ENCODER = [("SelfAttention", "attention", "attention")]
_DECODER = [("SelfAttention", "self_attention", "self"), ("EncDecAttention", "cross_attention", "cross")]
"""The attention of a layer, what it is here, and its residual connection."""
_GATED = {"gate": "wi_0", "up": "wi_1", "down": "wo"}
_UNGATED = {"up": "wi", "down": "wo"}


def _read(keys: Keys, tensors: Tensors) -> tuple[TransformerConfig, dict[str, Any]]:
    keys.ignore("dropout_rate", "dense_act_fn", "is_gated_act", "n_positions", "output_past")
    keys.only("relative_attention_num_buckets", 32)
    keys.only("relative_attention_max_distance", 128)
    keys.only("is_encoder_decoder", True)
    keys.only("is_decoder", False)
    head = tensors.get(HEAD)
    said = keys.take("tie_word_embeddings", True)
    tied = head is None or (said and same(head, tensors.get(_SHARED)))
    # Version 1.1 does not scale, which older files say by the tie alone.
    scaled = keys.take("scale_decoder_outputs", said)
    if scaled and not tied:
        raise InputError(f"{keys.label} scales the logits of a head of its own: there is no such model here")
    dim, layers = keys.take("d_model"), keys.take("num_layers")
    config = TransformerConfig(
        dim=dim,
        heads=keys.take("num_heads"),
        head_dim=keys.take("d_kv"),
        hidden=keys.take("d_ff"),
        encoder_layers=layers,
        decoder_layers=keys.take("num_decoder_layers", layers),
        positions="t5",
        norm="rms",
        norm_eps=float(keys.take("layer_norm_epsilon", 1e-6, kind=float)),
        activation=keys.choice("feed_forward_proj", _ACTIVATIONS, "relu"),
        attention_scale=1.0,
        bias=False,
        embedding_scale=1.0,
        share_embeddings=True,
        tie_embeddings=tied,
        tied_scale=dim**-0.5 if scaled else 1.0,
    )
    vocab = keys.take("vocab_size")
    return config, {"source_vocab": vocab, "target_vocab": vocab}


def _write(model: Transformer) -> dict[str, Any]:
    config = model.config
    scaled = config.tied_scale != 1
    return {
        "d_model": config.dim,
        "num_heads": config.heads,
        "d_kv": config.head_size,
        "d_ff": config.hidden_dim,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.decoder_layers,
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": name_of(config.activation, _ACTIVATIONS),
        "tie_word_embeddings": scaled,
        "scale_decoder_outputs": scaled,
        "vocab_size": model.source_embedding.tokens.num_embeddings,
    }


def _table(model: Transformer) -> list[Entry]:
    config = model.config
    entries = [Entry(_SHARED, SOURCE)]
    if model.output is not None:
        entries.append(Entry(HEAD, "output.kernel"))
    bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    for side, count in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        own = _ENCODER if side == "encoder" else _DECODER
        block, layer, ours = [], f"{side}.block.{{i}}.layer", f"{side}.{{i}}"
        for number, (disk, name, connection) in enumerate(own):
            for letter, projection in {"q": "query", "k": "key", "v": "value", "o": "out"}.items():
                kernel = f"{ours}.{name}.{projection}.kernel"
                block.append(Entry(f"{layer}.{number}.{disk}.{letter}.weight", kernel))
            norm = f"{ours}.{connection}_residual.norm.scale"
            block.append(Entry(f"{layer}.{number}.layer_norm.weight", norm))
        last = f"{layer}.{len(own)}"
        for name, disk in (_GATED if model.encoder[0].feed_forward.gate is not None else _UNGATED).items():
            block.append(Entry(f"{last}.DenseReluDense.{disk}.weight", f"{ours}.feed_forward.{name}.kernel"))
        block.append(Entry(f"{last}.layer_norm.weight", f"{ours}.feed_forward_residual.norm.scale"))
        entries += repeated(block, count)
        entries += [
            Entry(f"{side}.{bias}", f"{side}_score.table"),
            Entry(f"{side}.final_layer_norm.weight", f"{side}_norm.scale"),
        ]
    return entries


FAMILY = Family(
    "t5",
    _read,
    _write,
    _table,
    Transformer,
    peer="T5ForConditionalGeneration",
    ties={"encoder.embed_tokens.weight": SOURCE, "decoder.embed_tokens.weight": SOURCE, HEAD: SOURCE},
    ignored=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
)
