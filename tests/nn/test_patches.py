"""Patches and grids of positions against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn.patches import Patches, resized


def test_each_patch_is_mapped_by_the_same_matrix() -> None:
    patches, images = Patches(2, 3, 5, rngs=nnx.Rngs(0)), jax.random.normal(jax.random.key(1), (2, 4, 6, 3))
    patches.project.bias[...] = jnp.arange(5.0)
    got, kernel = patches(images), patches.project.kernel[...].reshape(12, 5)
    for y in range(2):
        for x in range(3):
            cut = images[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(2, 12)
            np.testing.assert_allclose(got[:, y, x], cut @ kernel + jnp.arange(5.0), rtol=1e-4, atol=1e-5)


def test_an_image_that_does_not_fit_is_named() -> None:
    patches = Patches(2, 3, 5, rngs=nnx.Rngs(0))
    for shape in ((4, 5, 3), (4, 4, 1)):
        with pytest.raises(
            ValueError, match=r"images .*: expected \(\*B, height, width, 3\), sides in multiples"
        ):
            patches(jnp.ones(shape))


def test_a_resized_grid_is_bicubic() -> None:
    y, x = jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0), indexing="ij")
    table = jnp.stack([y, x, jnp.full_like(x, 3)], axis=-1)
    assert resized(table, 8, 8) is table
    got = resized(table, 4, 16)
    assert got.shape == (4, 16, 3)
    # Away from the border lines stay nearly straight: cell i of n stands at (i + 1/2)·8/n - 1/2.
    np.testing.assert_allclose(got[1:3, 4, 0], [2.5, 4.5], atol=1e-5)
    np.testing.assert_allclose(got[1, 4:12, 1], np.arange(4, 12) / 2 - 0.25, atol=0.05)
    np.testing.assert_allclose(got[..., 2], 3, atol=1e-5)


def test_resizing_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
    table = np.random.default_rng(0).normal(size=(5, 5, 3)).astype("float32")
    for size in ((7, 4), (3, 9)):
        theirs = torch.nn.functional.interpolate(
            torch.tensor(table).permute(2, 0, 1)[None], size=size, mode="bicubic", align_corners=False
        )
        ours = resized(jnp.asarray(table), *size)
        np.testing.assert_allclose(ours, theirs[0].permute(1, 2, 0).numpy(), atol=1e-5)
