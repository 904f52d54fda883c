"""Convolutions whose gradients are as fast within a loop on CPU as outside of one."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.engines.linear_map import Map, linear_map

_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}
Padding = Sequence[tuple[int, int]]
# Of images and kernel; `_by_lanes`, or `_plain` where JAX has to transpose it.
Convolve = Callable[["_Window", Array, Array], Array]


class _Window(NamedTuple):
    """The options of `jax.lax.conv_general_dilated`, from its strides on."""

    window_strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    precision: Any
    lhs_dilation: tuple[int, ...] | None = None
    rhs_dilation: tuple[int, ...] | None = None


def convolution(
    images: Float[Array, "B *places C"],
    kernel: Float[Array, "*taps C D"],
    strides: Sequence[int],
    padding: str | Padding,
    **options: Any,
) -> Float[Array, "B *outputs D"]:
    """Returns `jax.lax.conv_general_dilated`, with gradients that XLA's CPU computes fast in every program.

    XLA brings the two convolutions of a gradient into the form that its CPU kernels know only outside of
    loops. Within `lax.scan`, where the steps of a training are, they run as plain loops, 8 to 80 times as
    slow: `findings/jax-convolution-gradient-is-slow-in-a-scan.sh`. Here they have that form from the start,
    with the same values bit for bit. Layers of flax take it as
    `nnx.Conv(..., conv_general_dilated=convolution)`.

    Args:
      images: channels last, with one or two axes of places.
      kernel: taps, channels, results.
      strides: places from one result to the next, for each axis of places.
      padding: "SAME", "VALID", or the zeros (before, after) of each axis.
      options: of `conv_general_dilated`. What changes the result (groups, dilations, another order of axes)
        is left to it, gradients too.

    Example:
      >>> convolution(jnp.ones((1, 4, 3)), jnp.ones((2, 3, 5)), (1,), "VALID").shape
      (1, 3, 5)
    """
    layout = _LAYOUTS.get(images.ndim - 2)
    options = {"dimension_numbers": layout} | options
    pads: Padding = (
        jax.lax.padtype_to_pads(images.shape[1:-1], kernel.shape[:-2], strides, padding)
        if isinstance(padding, str)
        else padding
    )
    # Of symbolic sizes the zeros may be no numbers, which lax knows what to do with.
    known = all(isinstance(zeros, int | np.integer) for pair in pads for zeros in pair)
    plain = layout and all(_is_default(name, own, images.ndim) for name, own in options.items())
    if not (known and plain):
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, **options)
    pairs = tuple((int(before), int(after)) for before, after in pads)
    return _convolved(_Window(tuple(strides), pairs, options.get("precision")), images, kernel)


def _is_default(name: str, option: Any, rank: int) -> bool:
    """Returns whether an option leaves a convolution as it is without."""
    if name == "dimension_numbers":
        layout = _LAYOUTS[rank - 2]
        expected = jax.lax.conv_dimension_numbers((1,) * rank, (1,) * rank, layout)
        return option in (layout, expected)
    if name.endswith("_dilation"):
        return option is None or set(option) == {1}
    return name == "precision" or option in (None, 1)


def _plain(window: _Window, images: Array, kernel: Array) -> Array:
    layout = _LAYOUTS[images.ndim - 2]
    return jax.lax.conv_general_dilated(images, kernel, dimension_numbers=layout, **window._asdict())


def _by_lanes(window: _Window, images: Array, kernel: Array) -> Array:
    """`_plain` which, mapped over both, takes one lane after another on CPU. It has no transpose.

    The groups into which jax folds the lanes take there 5 to 15 times as long.
    """

    @jax.custom_batching.custom_vmap
    def run(images: Array, kernel: Array) -> Array:
        return _plain(window, images, kernel)

    @run.def_vmap
    def _(_: int, mapped: list[bool], images: Array, kernel: Array) -> tuple[Array, bool]:
        folded = jax.vmap(functools.partial(_plain, window), [0 if one else None for one in mapped])
        if not all(mapped):
            return folded(images, kernel), True

        def in_turn(images: Array, kernel: Array) -> Array:
            return jax.lax.map(lambda lane: run(*lane), (images, kernel))

        return jax.lax.platform_dependent(images, kernel, cpu=in_turn, default=folded), True

    return run(images, kernel)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _convolved(window: _Window, images: Array, kernel: Array) -> Array:
    return _by_lanes(window, images, kernel)


@_convolved.defjvp
def _convolved_jvp(window: _Window, primals: Any, tangents: Any) -> tuple[Array, Array]:
    images, kernel = primals

    def of_images(residuals: list[Array], vectors: list[Array], transposable: bool) -> list[Array]:
        return [(_plain if transposable else _by_lanes)(window, vectors[0], residuals[0])]

    def of_kernel(residuals: list[Array], vectors: list[Array], transposable: bool) -> list[Array]:
        return [(_plain if transposable else _by_lanes)(window, residuals[0], vectors[0])]

    to_images, to_kernel = (
        _transpose(window, fn, on_cpu, like)
        for fn, on_cpu, like in ((of_images, _to_images, images), (of_kernel, _to_kernel, kernel))
    )
    (by_images,) = linear_map(of_images, to_images, [kernel], [tangents[0]])
    (by_kernel,) = linear_map(of_kernel, to_kernel, [images], [tangents[1]])
    return _convolved(window, images, kernel), by_images + by_kernel


def _transpose(window: _Window, fn: Map, on_cpu: Callable[..., Array], like: Array) -> Map:
    """Returns the transpose of a convolution in one of its operands, `like`."""
    shape = jax.ShapeDtypeStruct(like.shape, like.dtype)

    def run(residuals: list[Array], vectors: list[Array], transposable: bool) -> list[Array]:
        def plain(fixed: Array, change: Array) -> Array:
            ((given,),) = jax.linear_transpose(lambda operand: fn([fixed], operand, True), [shape])([change])
            return given

        own = functools.partial(on_cpu, _plain if transposable else _by_lanes, window, shape.shape)
        return [jax.lax.platform_dependent(residuals[0], vectors[0], cpu=own, default=plain)]

    return run


def _to_images(
    convolve: Convolve, window: _Window, shape: tuple[int, ...], kernel: Array, change: Array
) -> Array:
    """Returns the gradient of the images: the change, spread by the strides, under the turned kernel."""
    padding = []
    for size, taps, results, stride, (before, _) in _axes(window, shape, kernel.shape, change.shape):
        first = taps - 1 - before
        padding.append((first, size + taps - 1 - _spread(results, stride) - first))
    turned = jnp.flip(kernel, range(kernel.ndim - 2)).swapaxes(-1, -2)
    ones = (1,) * len(padding)
    return convolve(_Window(ones, tuple(padding), window.precision, window.window_strides), change, turned)


def _to_kernel(
    convolve: Convolve, window: _Window, shape: tuple[int, ...], images: Array, change: Array
) -> Array:
    """Returns the gradient of the kernel: channels as a batch, examples as channels, the change as kernel."""
    padding = []
    for size, taps, results, stride, (before, _) in _axes(window, images.shape, shape, change.shape):
        padding.append((before, _spread(results, stride) + taps - 1 - size - before))
    ones = (1,) * len(padding)
    turned = _Window(ones, tuple(padding), window.precision, None, window.window_strides)
    found = convolve(turned, images.swapaxes(0, -1), jnp.moveaxis(change, 0, -2))
    return jnp.moveaxis(found, 0, -2)


def _axes(window: _Window, images: Any, kernel: Any, results: Any) -> Any:
    """Yields of each axis of places: its length, taps, results, stride and padding."""
    return zip(images[1:-1], kernel[:-2], results[1:-1], window.window_strides, window.padding, strict=True)


def _spread(results: int, stride: int) -> int:
    """Returns the length of an axis of results with stride - 1 zeros between each two."""
    return (results - 1) * stride + 1
