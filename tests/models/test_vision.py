"""The encoder of images: tokens, positions of other sizes, masked patches, pooling, its head."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import VisionConfig, VisionTransformer
from attnjax.nn import Capture
from attnjax.nn.patches import resized

SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "layers": 1, "hidden": 12, "image": 4, "patch": 2}
IMAGES = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))


def build(**fields: Any) -> VisionTransformer:
    """A small model with every parameter off its initial value."""
    model = VisionTransformer(VisionConfig(**SMALL | fields), rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [x + 0.3 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, moved))
    return model


def test_tokens_are_class_token_registers_and_patches_with_their_positions() -> None:
    model = build(registers=2, embedding_norm=True)
    # What the blocks read, for an image of the config's size and for a wider one.
    for images in (IMAGES, jnp.concatenate([IMAGES, IMAGES], axis=2)):
        table = model.positions[...]
        grid = model.patches(images)
        at = resized(table[1:].reshape(2, 2, 8), *grid.shape[1:3])
        first = jnp.stack([model.class_token[...] + table[0], *model.registers[...]])
        x = jnp.concatenate([jnp.stack([first] * 2), (grid + at).reshape(2, -1, 8)], axis=1)
        output = model(images)
        expected = model.norm(model.blocks[0](model.embedding_norm(x)).out)
        np.testing.assert_allclose(output.states, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(output.pooled, output.states[:, 0])


def test_the_mask_token_stands_in_the_place_of_masked_patches() -> None:
    model, masked = build(mask_token=True), jnp.array([[True, False, False, False]] * 2)
    states = model(IMAGES, masked=masked).states
    np.testing.assert_allclose(model(IMAGES.at[:, :2, :2].set(7.0), masked=masked).states, states, atol=1e-5)
    assert not np.allclose(model(IMAGES.at[:, :2, 2:].set(7.0), masked=masked).states, states, atol=1e-2)
    with pytest.raises(ValueError, match=r"masked \[2, 4\]: expected \[2, 4\], and config.mask_token"):
        build()(IMAGES, masked=masked)


@pytest.mark.parametrize(("pooling", "width"), [("mean", 8), ("both", 16)])
def test_an_image_is_pooled_as_the_config_says(pooling: str, width: int) -> None:
    model = build(pooling=pooling, registers=1, pooler="tanh", labels=3)
    output = model(IMAGES)
    mean = output.states[:, 2:].mean(axis=1)
    read = mean if pooling == "mean" else jnp.concatenate([output.states[:, 0], mean], axis=-1)
    assert model.pooler.kernel.shape == (width, 8)
    pooled = jnp.tanh(read @ model.pooler.kernel[...] + model.pooler.bias[...])
    np.testing.assert_allclose(output.pooled, pooled, atol=1e-5)
    np.testing.assert_allclose(output.logits, model.head(pooled), atol=1e-5)


def test_there_may_be_neither_class_token_nor_positions() -> None:
    model = build(class_token=False, positions="none", pooling="mean")
    output = model(IMAGES, capture=Capture())
    assert output.states.shape == (2, 4, 8)
    assert output.weights["blocks.0.attention"].shape == (2, 2, 4, 4)
    turned = model(IMAGES[:, :, ::-1]).pooled  # Patches swap places, and turn inside.
    swapped = model(jnp.roll(IMAGES, 2, axis=2)).pooled
    np.testing.assert_allclose(swapped, output.pooled, atol=1e-5)
    assert not np.allclose(turned, output.pooled, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch": 3}, r"^model.patch is 3: it must divide model.image \(4\)$"),
        ({"positions": "rope"}, "^model.positions is 'rope': patches have learned or none$"),
        ({"class_token": False}, "^model.pooling is 'class': without class_token it must be mean$"),
        ({"registers": -1}, "^model.registers is -1: it must be 0 or more$"),
        ({"labels": 0}, "^model.labels is 0: it must be a whole number, 1 or more$"),
        ({"mechanism": "mesa"}, "mesa is causal only, but an encoder reads both ways$"),
    ],
)
def test_a_bad_setting_is_one_clear_line(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        VisionConfig(**SMALL | fields)
