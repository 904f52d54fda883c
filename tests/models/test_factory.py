"""The parts of a model: every choice of its config reaches them."""

from typing import Any

from flax import nnx

from attnjax import nn
from attnjax.models import Transformer, TransformerConfig
from attnjax.ops import positions


def build(**fields: Any) -> Transformer:
    sizes = {"dim": 16, "heads": 4, "hidden": 16, "encoder_layers": 1, "decoder_layers": 1, "max_length": 32}
    return Transformer(TransformerConfig(**sizes | fields), source_vocab=5, target_vocab=5, rngs=nnx.Rngs(0))


def test_every_choice_of_the_config_reaches_its_layers() -> None:
    model = build(
        kv_heads=2,
        qk_norm=True,
        bias=False,
        norm="rms",
        norm_eps=0.25,
        attention_scale=0.75,
        layer_scale=0.5,
        embedding_scale=3.0,
        embedding_norm=True,
        norm_placement="post",
        activation="swiglu",
        positions="rope_interleaved",
        rope_base=1e6,
        rope_scaling="yarn",
        rope_factor=2.0,
        output_gate="headwise",
        implementation="blockwise",
    )
    (encoder,), (decoder,) = model.encoder, model.decoder
    layers = [encoder.attention, decoder.self_attention, decoder.cross_attention]
    scaling = positions.YarnScaling(2.0, original_length=model.config.max_length)
    rope = nn.Rope("interleaved", 1e6, 1.0, scaling)
    assert [layer.rope for layer in layers] == [rope, rope, None]
    for layer in layers:
        assert layer.output_gate.settings.kind == "headwise"
        assert (layer.kv_heads, layer.implementation, layer.scale) == (2, "blockwise", 0.75)
        assert layer.query_norm is not None
        assert layer.query.bias is None
    for block in (encoder, decoder):
        assert block.feed_forward.gate is not None
        assert block.feed_forward.up.bias is None
        residuals = [part for name, part in vars(block).items() if name.endswith("_residual")]
        assert {(type(part.norm).__name__, part.placement) for part in residuals} == {("RMSNorm", "post")}
        assert {(part.norm.epsilon, part.scale.scale[...][0].item()) for part in residuals} == {(0.25, 0.5)}
    for embedding in (model.source_embedding, model.target_embedding):
        assert (embedding.scale, type(embedding.norm).__name__) == (3.0, "RMSNorm")
    assert model.output.bias is None


def test_the_mechanism_is_that_of_self_attention() -> None:
    model = build(mechanism="cosformer", implementation="blockwise", positions="none")
    (encoder,), (decoder,) = model.encoder, model.decoder
    layers = [encoder.attention, decoder.self_attention, decoder.cross_attention]
    assert [layer.mechanism for layer in layers] == ["cosformer", "cosformer", "softmax"]
    assert layers[-1].implementation == "blockwise"
    assert dict(encoder.attention.recurrence.arguments) == {"horizon": 32}
