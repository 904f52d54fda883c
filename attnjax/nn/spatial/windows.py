"""Window attention: pixels read each other inside windows, which every other layer shifts."""

from collections.abc import Collection
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.dropout import Dropout
from attnjax.nn.spatial.pixels import pixels
from attnjax.ops import masks, scores
from attnjax.ops.core.checks import count
from attnjax.ops.core.ranks import of_rank


class WindowAttention(nnx.Module):
    """Attention inside windows of size × size pixels, with a learned bias of each relative place, as in Swin.

    s_ij = q_i·k_j/√H + b[y_i - y_j, x_i - x_j]. Shifted windows begin `shift` pixels further in; what lies
    beyond the edge wraps round, and sees none of the other side. An image that the windows do not fill is
    padded with 0, and no pixel sees the padding, unless it is said to, as in the authors' code.

    Args:
      dim: D.
      heads: N.
      size: of a window, in pixels along each side.
      shift: pixels, in [0, size); half of it in every other layer of Swin.
      sees_padding: whether pixels see what fills the image up; never what a mask leaves out.
      bias: of the projections, as in `Attention`.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`; a shift out of its range.

    References:
      Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,
      arXiv:2103.14030.

    Example:
      >>> layer = WindowAttention(8, 2, size=4, shift=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 8, 12, 8))).out.shape
      (2, 8, 12, 8)
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 7,
        shift: int = 0,
        sees_padding: bool = False,
        bias: bool | Collection[str] = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.size, self.shift = dim, count("size", size), shift
        self.sees_padding = sees_padding
        if not 0 <= shift < size:
            raise ValueError(f"shift {shift}: expected 0 or more, below size ({size})")
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.attention = SoftmaxAttention(dim, heads, bias=bias, **common)
        start = nnx.initializers.truncated_normal(0.02)(
            rngs.params(), ((2 * size - 1) ** 2, heads), param_dtype
        )
        self.bias = nnx.Param(start, **named("bucket", "heads"))

    def __call__(
        self,
        x: Float[Array, "*B Y X D"],
        *,
        mask: Bool[Array, "*B Y X"] | None = None,
        shift: int | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends inside the windows.

        Args:
          x: the image.
          mask: False for padding.
          shift: in place of the layer's; None: that one.
          dropout: on the weights.
          capture: the heads and rows of the weights [*B, rows, columns, N, size², size²] to return.

        Raises:
          ValueError: Shapes do not fit.
        """
        x, real = pixels(x, self.dim, mask)
        shape = x.shape[-3:-1]
        more = [-length % self.size for length in shape]
        shift = self.shift if shift is None else shift
        seen = [length + own for length, own in zip(shape, more, strict=True)] if self.sees_padding else shape
        regions = jnp.asarray(_regions(tuple(seen), self.size, shift))
        if real is not None:
            regions = jnp.where(self._cut(real[..., None], more, shift)[..., 0], regions, -1)
        # Where nothing wraps and no padding is hidden, all pixels of a window see each other.
        alone = real is None and (self.sees_padding or not any(more)) and not shift
        out, _, weights = self.attention(
            self._cut(x, more, shift),
            mask=None if alone else masks.segments(of_rank(regions, x.ndim)),
            score=scores.pair_bias(jnp.moveaxis(self.bias[...][_relative(self.size)], -1, 0)),
            dropout=dropout,
            capture=capture,
        )
        return AttentionOutput(self._joined(out, shape, shift), None, weights)

    def _cut(self, x: Array, more: list[int], shift: int) -> Array:
        """Returns the windows [*B, rows, columns, size², …] of an image, which is padded and shifted."""
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(0, n) for n in more] + [(0, 0)])
        if shift:
            x = jnp.roll(x, (-shift, -shift), axis=(-3, -2))
        *batch, height, width, dim = x.shape
        rows, columns = height // self.size, width // self.size
        x = x.reshape(*batch, rows, self.size, columns, self.size, dim)
        return jnp.swapaxes(x, -4, -3).reshape(*batch, rows, columns, self.size**2, dim)

    def _joined(self, windows: Array, shape: tuple[int, ...], shift: int) -> Array:
        """Returns the image of which these are the windows."""
        *batch, rows, columns, _, dim = windows.shape
        x = windows.reshape(*batch, rows, columns, self.size, self.size, dim)
        x = jnp.swapaxes(x, -4, -3).reshape(*batch, rows * self.size, columns * self.size, dim)
        if shift:
            x = jnp.roll(x, (shift, shift), axis=(-3, -2))
        return x[..., : shape[0], : shape[1], :]


def _regions(shape: tuple[int, ...], size: int, shift: int) -> np.ndarray:
    """Returns for the pixels of each window the part of the image they are from; -1 for padding."""
    parts = []
    for length in shape:
        whole = length + -length % size
        place = (np.arange(whole) + shift) % whole
        # Those that have wrapped round are of another part than the end behind which they stand.
        parts.append(np.where(place < length, place < shift, -1).reshape(-1, size))
    y, x = parts[0][:, None, :, None], parts[1][None, :, None, :]
    return np.where((y < 0) | (x < 0), -1, 2 * y + x).reshape(len(parts[0]), len(parts[1]), size * size)


def _relative(size: int) -> np.ndarray:
    """Returns the row of the bias for each pair of pixels of a window.

    Example:
      >>> _relative(2)[0].tolist()
      [4, 3, 1, 0]
    """
    place = np.stack(np.divmod(np.arange(size * size), size))
    apart = place[:, :, None] - place[:, None, :] + size - 1
    return apart[0] * (2 * size - 1) + apart[1]
