"""Attention in one image [Y, X, D], in NumPy and float64. `real` says which pixels there are."""

from typing import Any

import numpy as np

from tests.nn.cross.literal_cross import affine, attention

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def convolved(kernel: Array, x: Array) -> Array:
    """Σ over places of a kernel [K, K, in, out] whose middle is at ⌊(K-1)/2⌋; 0 beyond the edge."""
    size, out = len(kernel), np.zeros((*x.shape[:2], kernel.shape[-1]))
    for y in range(x.shape[0]):
        for z in range(x.shape[1]):
            for i in range(size):
                for j in range(size):
                    row, column = y + i - (size - 1) // 2, z + j - (size - 1) // 2
                    if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
                        out[y, z] += x[row, column] @ kernel[i, j]
    return out


def squeeze_excite(p: dict[str, Any], x: Array, real: Array) -> Array:
    return x * sigmoid(affine(p["excite"], np.maximum(affine(p["squeeze"], x[real].mean(0)), 0)))


def cbam(p: dict[str, Any], x: Array, real: Array) -> Array:
    pooled = [
        affine(p["excite"], np.maximum(affine(p["squeeze"], f(x[real], 0)), 0)) for f in (np.mean, np.max)
    ]
    x = np.where(real[..., None], x * sigmoid(sum(pooled)), 0)
    return x * sigmoid(convolved(p["places"]["kernel"], np.stack([x.mean(-1), x.max(-1)], -1)))


def eca(p: dict[str, Any], x: Array, real: Array) -> Array:
    mean, kernel = x[real].mean(0), p["kernel"]
    gate = np.zeros_like(mean)
    for d in range(len(mean)):
        for i, w in enumerate(kernel):
            if 0 <= d + i - len(kernel) // 2 < len(mean):
                gate[d] += w * mean[d + i - len(kernel) // 2]
    return x * sigmoid(gate)


def _image(p: dict[str, Any], x: Array, sees: Any, **options: Any) -> Array:
    """Attention of all pixels, which `sees` tells by (row, column) of both."""
    places = [(y, z) for y in range(x.shape[0]) for z in range(x.shape[1])]
    tokens = x.reshape(len(places), -1)
    return attention(p, tokens, tokens, lambda t, s: sees(places[t], places[s]), **options).reshape(x.shape)


def non_local(p: dict[str, Any], x: Array, real: Array) -> Array:
    return x + _image(p["attention"], x, lambda a, b: real[b], scale=1.0)


def axial(p: dict[str, Any], x: Array, real: Array) -> Array:
    x = _image(p["columns"], x, lambda a, b: real[b] and a[1] == b[1])
    return _image(p["rows"], x, lambda a, b: real[b] and a[0] == b[0])


def swin_window(p: dict[str, Any], x: Array, real: Array, size: int, shift: int) -> Array:
    places, half = [(y, z) for y in range(x.shape[0]) for z in range(x.shape[1])], size - 1

    def window(a: tuple[int, int]) -> tuple[int, int]:
        return (a[0] - shift) // size, (a[1] - shift) // size

    def bias(n: int, t: int, s: int) -> float:
        apart = np.array(places[t]) - np.array(places[s])
        if max(abs(apart)) > half:
            return 0.0
        return float(p["bias"][(apart[0] + half) * (2 * size - 1) + apart[1] + half, n])

    return _image(p["attention"], x, lambda a, b: real[b] and window(a) == window(b), bias=bias)


def neighborhood_window(p: dict[str, Any], x: Array, real: Array, window: int) -> Array:
    def near(a: int, b: int, length: int) -> bool:
        start = min(max(a - window // 2, 0), length - window)
        return start <= b < start + window

    def sees(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return bool(real[b]) and all(near(a[i], b[i], x.shape[i]) for i in range(2))

    return _image(p["attention"], x, sees)


def augmented_convolution(p: dict[str, Any], x: Array, real: Array) -> Array:
    height, width, _ = x.shape
    q, k, v = (
        np.einsum("yzd,dnh->yznh", x, p[n]["kernel"]) + p[n]["bias"] for n in ("query", "key", "value")
    )
    middle, read = len(p["along_x"]) // 2, np.zeros((height, width, *v.shape[-2:]))
    for a in np.ndindex(height, width):
        for n in range(q.shape[-2]):
            total = 0.0
            for b in np.ndindex(height, width):
                r = p["along_x"][b[1] - a[1] + middle] + p["along_y"][b[0] - a[0] + middle]
                w = np.exp(q[a][n] @ (k[b][n] + r) / np.sqrt(q.shape[-1])) * real[b]
                total, read[a][n] = total + w, read[a][n] + w * v[b][n]
            read[a][n] /= total
    convolution = (
        convolved(p["convolution"]["kernel"], np.where(real[..., None], x, 0)) + p["convolution"]["bias"]
    )
    return np.concatenate([convolution, affine(p["out"], read.reshape(height, width, -1))], -1)


def sample(image: Array, x: float, y: float) -> Array:
    """What an image [Y, X, …] holds at (x, y), 0 to 1, between the middles of its pixels."""
    total = np.zeros(image.shape[2:])
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            down, right = abs(y * image.shape[0] - 0.5 - row), abs(x * image.shape[1] - 0.5 - column)
            total += max(1 - down, 0) * max(1 - right, 0) * image[row, column]
    return total


def deformable(p: dict[str, Any], x: Array, real: Array) -> Array:
    height, width, _ = x.shape
    v = np.einsum("yzd,dnh->yznh", x, p["value"]["kernel"]) + p["value"]["bias"]
    v = np.where(real[..., None, None], v, 0)
    out = np.zeros((height, width, *v.shape[-2:]))
    for a in np.ndindex(height, width):
        offsets = np.einsum("d,dnlpc->nlpc", x[a], p["offsets"]["kernel"]) + p["offsets"]["bias"]
        scores = np.einsum("d,dnlp->nlp", x[a], p["weights"]["kernel"]) + p["weights"]["bias"]
        for n in range(v.shape[-2]):
            w = np.exp(scores[n, 0]) / np.exp(scores[n, 0]).sum()
            for i in range(len(w)):
                right, down = offsets[n, 0, i]
                at = ((a[1] + 0.5 + right) / width, (a[0] + 0.5 + down) / height)
                out[a][n] += w[i] * sample(v[:, :, n], *at)
    return affine(p["out"], out.reshape(x.shape))
