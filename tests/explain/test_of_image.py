"""Explanations of images: maps over patches and registers, scores of patches, the likeliest label."""

from io import BytesIO
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from attnjax.config import InputError
from attnjax.data.images.files import read_image
from attnjax.explain import Target, ask, attribute, saliencies
from attnjax.explain.of_image import explained_image
from attnjax.models import SwinTransformer, VisionTransformer
from attnjax.models.recogniser import Recogniser
from attnjax.models.swin_config import SwinConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.nn import Capture

SIZES = {"dim": 8, "image": 8, "patch": 4, "labels": 3, "channels": 1}
NAMES = ["cat", "dog", "cow"]


def reader(model: nnx.Module) -> Recogniser:
    def prepare(pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.float32) / 100

    return Recogniser(model, lambda file: read_image(Path(file), 8, 1), prepare, NAMES)


@pytest.fixture
def file(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    return str(tmp_path / "noise.png")


def test_patches_are_columns_of_maps_and_have_scores(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saliencies, "MOST_MEASURED", 0)  # `test_of_text` asks how faithful scores are.
    model = VisionTransformer(VisionConfig(heads=2, layers=2, registers=1, **SIZES), rngs=nnx.Rngs(0))
    shown = explained_image(reader(model), file, methods=("gradient_x_input",))
    pixels = read_image(Path(file), 8, 1)
    images = jnp.asarray(pixels[None].astype(np.float32) / 100)
    output = jax.jit(lambda x: model(x, capture=Capture()))(images)
    assert shown.title == f"{file}: {NAMES[int(output.logits[0].argmax())]}"
    assert [each.name for each in shown.maps] == ["blocks.0.attention", "blocks.1.attention"]
    patches = [f"row {i}, column {j}" for i in (1, 2) for j in (1, 2)]
    for each in shown.maps:
        np.testing.assert_allclose(each.weights, output.weights[each.name][0], rtol=1e-5)
        assert each.columns == ["class", "register 1", *patches]
    assert shown.image is not None
    assert shown.image[1:] == (2, 2, 2)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(shown.image.png))), pixels[..., 0])
    (scored,) = shown.saliencies
    expected = attribute("gradient_x_input", ask(model, images, target=Target(of="probability"))).scores[0]
    np.testing.assert_allclose(scored.scores, expected, rtol=1e-5)
    assert scored.tokens == patches


def test_windows_and_convolutions_have_no_maps_of_patches(file: str) -> None:
    swin = SwinTransformer(SwinConfig(depths=(1,), heads=(2,), window=2, **SIZES), rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="model is a SwinTransformer: expected a VisionTransformer"):
        explained_image(reader(swin), file)
    fields = {"layers": 0, "stem": "convolution", "pooling": "mean", "class_token": False}
    convolutions = VisionTransformer(VisionConfig(**SIZES | fields), rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="no layer has attention weights"):
        explained_image(reader(convolutions), file)
