"""Mixers of one sequence as loops over its tokens, in NumPy and float64; `sees` says what token t reads."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Sees = Callable[[int, int], bool]


def affine(p: dict[str, Any], x: Array) -> Array:
    return x @ p["kernel"] + p.get("bias", 0)


def fnet(p: dict[str, Any], x: Array, sees: Sees) -> Array:
    length, dim = x.shape
    out = np.zeros(x.shape)
    for t in range(length):
        for d in range(dim):
            terms = [
                x[s, e] * np.exp(-2j * np.pi * (t * s / length + d * e / dim))
                for s in range(length)
                for e in range(dim)
            ]
            out[t, d] = sum(terms).real
    return out


def gmlp(p: dict[str, Any], x: Array, sees: Sees) -> Array:
    h = affine(p["up"], x)
    h = h / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    u, v = np.split(h, 2, axis=-1)
    v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-6)
    v = v * p["norm"]["scale"] + p["norm"]["bias"]
    mixed = [
        sum(p["weights"][t, s] * v[s] for s in range(len(x)) if sees(t, s)) + p["bias"][t]
        for t in range(len(x))
    ]
    return affine(p["out"], u * np.array(mixed))


def aft(p: dict[str, Any], x: Array, sees: Sees, window: int | None = None) -> Array:
    q, k, v = (affine(p[name], x) for name in ("query", "key", "value"))
    mixed = np.zeros_like(x)
    for t in range(len(x)):
        for d in range(x.shape[1]):
            top = bottom = 0.0
            for s in range(len(x)):
                if sees(t, s):
                    near = window is None or abs(t - s) < window
                    w = p["reading"][t] @ p["read"][s] if near else 0.0
                    top += np.exp(k[s, d] + w) * v[s, d]
                    bottom += np.exp(k[s, d] + w)
            mixed[t, d] = top / bottom
    return affine(p["out"], mixed / (1 + np.exp(-q)))


def hyena(p: dict[str, Any], x: Array, sees: Sees, max_length: int = 16, bands: int = 4) -> Array:
    f, (order, dim) = p["filters"], p["bias"].shape

    def filters(t: int) -> Array:
        where, wave = t / (max_length - 1), np.linspace(1e-4, bands - 1, bands) * 2 * np.pi * t / max_length
        h = np.array([where, *np.cos(wave), *-np.sin(wave)])
        for layer in ("first", "second"):
            h = np.sin(f["frequency"] * affine(f[layer], h))
        slow, fast = math.log(100) / 1.5, math.log(100) / 0.3
        falls = [slow + (fast - slow) * d / (dim - 1) for d in range(dim)]
        return np.einsum("w,wod->od", h, f["last"]["kernel"]) * np.exp(-where * np.array(falls))

    projected = np.einsum("td,doe->toe", x, p["projected"]["kernel"]) + p["projected"]["bias"]
    short = p["convolution"]["kernel"]
    u = np.array(
        [
            sum(short[lag] * projected[t - lag] for lag in range(len(short)) if t >= lag and sees(t, t - lag))
            + p["convolution"]["bias"]
            for t in range(len(x))
        ]
    )
    z = u[:, 0]
    for i in range(order):
        convolved = [sum(filters(t - s)[i] * z[s] for s in range(t + 1) if sees(t, s)) for t in range(len(x))]
        z = u[:, i + 1] * (np.array(convolved) + p["bias"][i] * z)
    return affine(p["out"], z)


def convolution(p: dict[str, Any], x: Array, sees: Sees) -> Array:
    kernel = p["convolution"]["kernel"]
    middle = 0 if not sees(0, 1) else len(kernel) // 2
    total = np.zeros_like(x)
    for t in range(len(x)):
        for number, w in enumerate(kernel):
            s = t - (number - middle)
            if 0 <= s < len(x) and sees(t, s):
                total[t] += w * x[s]
    return affine(p["out"], total)
