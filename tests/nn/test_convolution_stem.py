"""The convolutions that make a grid of an image, against sums written out in NumPy, float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn.convolution_stem import ConvolutionStem

IMAGES = np.random.default_rng(0).normal(size=(2, 4, 8, 3))


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1] // stride, x.shape[2] // stride
    out = np.zeros((len(x), height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            patch = wide[:, row * stride : row * stride + 3, column * stride : column * stride + 3]
            out[:, row, column] = np.einsum("byxc,yxcd->bd", patch, kernel)
    return out


def normed(x: np.ndarray, norm: nnx.Module) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + norm.epsilon)
    return unit * np.float64(norm.scale[...]) + np.float64(norm.bias[...])


def squeezed(x: np.ndarray, gate: nnx.Module) -> np.ndarray:
    first, second = (
        lambda x, part=part: x @ np.float64(part.kernel[...]) + np.float64(part.bias[...])
        for part in (gate.squeeze, gate.excite)
    )
    logits = second(np.maximum(first(x.mean((1, 2))), 0))
    return x / (1 + np.exp(-logits))[:, None, None]


@pytest.mark.parametrize("kind", ["convolution", "squeeze_excite"])
def test_stages_are_what_their_formula_says(kind: str) -> None:
    stem = ConvolutionStem(4, 3, 20, kind, rngs=nnx.Rngs(0))
    x = IMAGES
    for stage in stem.stages:
        x = np.maximum(normed(convolved(x, np.float64(stage.halving.kernel[...]), 2), stage.halving_norm), 0)
        change = normed(convolved(x, np.float64(stage.residual.kernel[...]), 1), stage.residual_norm)
        x = np.maximum(x + (change if stage.gate is None else squeezed(change, stage.gate)), 0)
    assert x.shape == (2, 1, 2, 20)
    assert [stage.halving.kernel.shape[-1] for stage in stem.stages] == [16, 20]
    np.testing.assert_allclose(jax.jit(stem)(jnp.asarray(IMAGES, jnp.float32)), x, rtol=1e-4, atol=1e-4)


def test_sizes_that_do_not_fit_are_refused() -> None:
    for arguments, message in (
        ((6, 3, 8), "size 6: expected a power"),
        ((4, 3, 8, "x"), "kind 'x': expected"),
    ):
        with pytest.raises(ValueError, match=message):
            ConvolutionStem(*arguments, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"images \[1, 6, 4, 3\]: expected .* multiples of 4 pixels"):
        ConvolutionStem(4, 3, 8, rngs=nnx.Rngs(0))(jnp.zeros((1, 6, 4, 3)))
