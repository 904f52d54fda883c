"""Attention in images: by its loops over pixels, with padding that says nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.mechanisms import read
from attnjax.nn import make_attention
from attnjax.ops.sampled import bilinear_samples, deformable_attention
from tests.nn.moved import moved, value, value_and_slope
from tests.nn.spatial import literal_spatial

DIM = 8
X = np.random.default_rng(2).normal(-1.5, 1, size=(2, 4, 5, DIM))  # Some largest values are below 0.
REAL = np.ones((2, 4, 5), bool)
REAL[1, 3:], REAL[1, :, 3:] = False, False
LAYERS = (
    "squeeze_excite(reduction=2)",
    "cbam(reduction=2, kernel=3)",
    "eca(kernel=3)",
    "non_local",
    "axial",
    "swin_window(size=2)",
    "swin_window(size=3, shift=1)",
    "neighborhood_window(window=3)",
    "augmented_convolution(key_dim=4, value_dim=2, most=5)",
    "deformable(points=2)",
)
SLOPES = ("cbam(reduction=2, kernel=3)", "neighborhood_window(window=3)", "deformable(points=2)")


@pytest.mark.parametrize("text", LAYERS)
def test_it_is_its_loop_over_pixels(text: str, x64: None) -> None:
    graphdef, params, plain = moved(
        make_attention(text, DIM, 2, param_dtype=jnp.float64, rngs=nnx.Rngs(0)), 1.5
    )
    loud = np.where(REAL[..., None], 0, 0 if text.startswith("deformable") else 50.0)

    def call(params: Any, x: Any) -> Any:
        return jnp.where(
            REAL[..., None], nnx.merge(graphdef, params)(x + loud, mask=jnp.asarray(REAL)).out, 0
        )

    out, slope, rise = (value_and_slope if text in SLOPES else value)(call, params, X)
    assert slope == pytest.approx(rise, rel=1e-5)
    choice = read(text)[0]
    named = ("size", "shift", "window") if "window" in text else ()
    filled = choice.parts[0].filled().options
    options = {name: filled[name] for name in named if name in filled}
    for row in range(2):
        expected = getattr(literal_spatial, choice.row.name)(plain, X[row], REAL[row], **options)
        np.testing.assert_allclose(out[row], np.where(REAL[row][..., None], expected, 0), atol=1e-9)


@pytest.mark.parametrize("text", LAYERS)
def test_no_images(text: str) -> None:
    layer, shape = make_attention(text, DIM, 2, rngs=nnx.Rngs(0)), (0, 4, 5, DIM)
    call = jax.eval_shape(lambda: layer(jnp.ones(shape), mask=jnp.ones(shape[:-1], bool)).out)
    assert call.shape == shape


def test_samples_beyond_the_edge_fall_to_zero() -> None:
    image = jnp.ones((1, 3, 4, 1, 2))
    places = jnp.array([0.5, 1.0, 1.1, 1.2, -5.0])[:, None] * jnp.array([1.0, 0]) + jnp.array([0, 0.5])
    found = bilinear_samples(image, places[None, :, None, None, :])[0, :, 0, 0, 0]
    np.testing.assert_allclose(found, [1, 0.5, 0.1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("eca(kernel=4)", None, "kernel 4: expected an odd number of channels"),
        ("swin_window(size=3, shift=3)", None, r"shift 3: expected 0 or more, below size \(3\)"),
        ("axial", np.ones((4, DIM)), r"x \[4, 8\]: expected \(\*B, Y, X, 8\)"),
        ("non_local", np.ones((4, 5, 7)), r"x \[4, 5, 7\]: expected \(\*B, Y, X, 8\)"),
        ("augmented_convolution(most=4)", X, r"x \[2, 4, 5, 8\]: expected 4 pixels along each side at most"),
        ("augmented_convolution(value_dim=8)", None, "value_dim 8: expected multiples of heads"),
        ("deformable(levels=2)", X, "1 levels, 1 masks: expected 2 of each"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_attention(text, DIM, 2, rngs=nnx.Rngs(0))(jnp.asarray(given, jnp.float32))


def test_places_of_another_number_of_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"places \[5, 1, 1, 4, 2\].*L is 2"):
        deformable_attention([jnp.ones((2, 2, 1, 3))] * 2, jnp.ones((5, 1, 1, 4, 2)), jnp.ones((5, 1, 1, 4)))
