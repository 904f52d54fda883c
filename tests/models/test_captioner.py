"""The model that captions images: what it reads, its gates, and decoding from images."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import beams, generate
from attnjax.models.captioner import Captioner
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.nn import Capture
from attnjax.nn.patches import resized

SMALL: dict[str, Any] = {
    "dim": 8,
    "heads": 2,
    "hidden": 8,
    "image": 8,
    "patch": 4,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "implementation": "reference",
}
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 3)), jnp.float32)
PATCHES = jnp.array([4, 4])
TARGET = jnp.array([[1, 4, 5], [1, 6, 4]])


def build(**fields: Any) -> Captioner:
    return Captioner(CaptionerConfig(**SMALL | fields), target_vocab=7, rngs=nnx.Rngs(0))


def test_the_source_is_patches_with_positions_in_any_size() -> None:
    model = build()
    for images in (IMAGES, jnp.concatenate([IMAGES, IMAGES], axis=2)):
        grid = model.source_embedding.patches(images)
        x = (grid + resized(model.source_embedding.positions[...], *grid.shape[1:3])).reshape(2, -1, 8)
        expected = model.encoder_norm(model.encoder[0](x).out)
        memory = model.encode(images, jnp.full(2, x.shape[1])).memory
        np.testing.assert_allclose(memory, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"source \[2, 3\]: expected \(B, height, width, channels\)"):
        model.encode(jnp.ones((2, 3)), PATCHES)
    with pytest.raises(ValueError, match=r"source_lengths \[3\]"):
        model.encode(IMAGES, jnp.array([4, 4, 4]))


def test_additive_blocks_over_convolutions_have_weights_of_each_patch_for_each_word() -> None:
    model = build(encoder_layers=0, heads=1, stem="convolution", cross_mechanism="additive")
    output = jax.jit(lambda *x: model(*x, capture=Capture()))(IMAGES, PATCHES, TARGET)
    weights = output.weights["decoder.0.cross_attention"]
    assert weights.shape == (2, 1, 3, 4)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert set(output.weights) == {"decoder.0.cross_attention", "decoder.0.self_attention"}


def test_a_gate_at_its_start_reads_nothing_and_then_as_much_as_its_tanh() -> None:
    model = build(cross_gate=True)
    logits = jax.jit(lambda model, images: model(images, PATCHES, TARGET).logits)
    np.testing.assert_array_equal(logits(model, IMAGES), logits(model, IMAGES + 1))
    cross = model.decoder[0].cross_attention
    cross.gate[...] = jnp.float32(0.7)
    assert not np.allclose(logits(model, IMAGES), logits(model, IMAGES + 1))
    x, context = jnp.ones((1, 2, 8)), cross.project(jnp.asarray(IMAGES[:1, 0, :, :1] * jnp.ones(8)))
    expected = np.tanh(0.7) * np.asarray(cross.attention(x, context).out)
    np.testing.assert_allclose(cross(x, context).out, expected, rtol=1e-5)


def test_images_are_decoded_greedily_as_they_are_scored() -> None:
    model = build()
    marks: dict[str, Any] = {"bos": 1, "eos": 2, "pad": 0, "max_length": 4}
    tokens = generate(model, IMAGES, PATCHES, **marks).tokens
    fed = jnp.concatenate([jnp.full((2, 1), 1), tokens[:, :-1]], axis=1)
    best = model(IMAGES, PATCHES, fed).logits.argmax(-1)
    live = np.cumsum(np.asarray(tokens) == 2, axis=1) - (np.asarray(tokens) == 2) == 0
    np.testing.assert_array_equal(np.asarray(tokens)[live], np.asarray(best)[live])
    for options, message in (
        ({"padding": "left"}, r"padding 'left': images \[2, 8, 8, 3\] have none"),
        ({"strategy": beams(2, coverage="wu", beta=0.1)}, "coverage 'wu': the source is images"),
        ({"tile": (2, 16)}, r"tile \(2, 16\): expected 1 or more rows of 8 vectors or rows of pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            generate(model, IMAGES, PATCHES, **marks, **options)


def test_settings_that_do_not_fit_are_refused() -> None:
    for fields, message in (
        ({"patch": 3}, r"model.patch is 3: it must divide model.image \(8\)"),
        ({"patch": 1, "stem": "cbam"}, r"model.patch is 1: convolutions \(model.stem cbam\) halve"),
        ({"stem": "x"}, "model.stem is 'x'"),
        ({"encoder_layers": -1}, "model.encoder_layers is -1: it must be 0 or more"),
        ({"frames": 3}, "model.frames is 3: the source is images"),
        ({"share_embeddings": True}, "model.share_embeddings is True: images have no tokens"),
    ):
        with pytest.raises(InputError, match=message):
            CaptionerConfig(**SMALL | fields)
    for fields, message in (
        ({"layers": 0}, "model.layers is 0"),
        ({"stem": "cbam", "patch": 7}, "model.patch is 7: convolutions"),
        ({"stem": "cbam", "layers": -1}, "model.layers is -1: it must be 0 or more"),
    ):
        with pytest.raises(InputError, match=message):
            VisionConfig(**fields)
