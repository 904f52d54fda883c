"""Layers that read a context or pool a set, of one row, in NumPy and float64; `sees` says what t reads."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Sees = Callable[[int, int], bool]


def affine(p: dict[str, Any], x: Array) -> Array:
    return x @ p["kernel"] + p.get("bias", 0)


def norm(p: dict[str, Any], x: Array) -> Array:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * p["scale"] + p["bias"]


def feed_forward(p: dict[str, Any], x: Array) -> Array:
    h = affine(p["up"], x)
    return affine(p["down"], h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3))))


def attention(
    p: dict[str, Any],
    x: Array,
    y: Array,
    sees: Sees = lambda t, s: True,
    bias: Callable[[int, int, int], float] = lambda n, t, s: 0.0,
    scale: float | None = None,
) -> Array:
    out = np.zeros((len(x), p["out"]["kernel"].shape[-1]))
    _, heads, size = p["query"]["kernel"].shape
    for t in range(len(x)):
        for n in range(heads):
            q = x[t] @ p["query"]["kernel"][:, n] + p["query"].get("bias", np.zeros((heads, size)))[n]
            k = y @ p["key"]["kernel"][:, n] + p["key"].get("bias", np.zeros((heads, size)))[n]
            v = y @ p["value"]["kernel"][:, n] + p["value"].get("bias", np.zeros((heads, size)))[n]
            by = size**-0.5 if scale is None else scale
            w = np.array([np.exp(by * q @ k[s] + bias(n, t, s)) * sees(t, s) for s in range(len(y))])
            if w.any():
                out[t] += (w / w.sum()) @ v @ p["out"]["kernel"][n]
    return out + p["out"].get("bias", 0)


def cross(p: dict[str, Any], x: Array, y: Array, sees: Sees) -> Array:
    return attention(p, x, y, sees)


def co_attention(p: dict[str, Any], x: Array, y: Array, sees: Sees) -> Array:
    return attention(p["of_x"], x, y, sees)


def gated_cross(p: dict[str, Any], x: Array, y: Array, sees: Sees) -> Array:
    h = x + np.tanh(p["attention_gate"]) * attention(p["attention"], norm(p["attention_norm"], x), y, sees)
    return h + np.tanh(p["feed_forward_gate"]) * feed_forward(
        p["feed_forward"], norm(p["feed_forward_norm"], h)
    )


def bilinear_attention(p: dict[str, Any], x: Array, y: Array, sees: Sees) -> Array:
    def of(name: str, tokens: Array) -> Array:
        return np.einsum("td,dnr->tnr", tokens, p[name]["kernel"]) + p[name]["bias"]

    q, k = np.maximum(of("query", x), 0), np.maximum(of("key", y), 0)
    total, read = 0.0, 0.0
    for t in range(len(x)):
        for s in range(len(y)):
            if sees(t, s):
                w = np.exp((p["vector"] * q[t] * k[s]).sum(-1, keepdims=True))
                total, read = total + w, read + w * of("of_x", x)[t] * of("of_context", y)[s]
    return (np.einsum("nr,nrd->d", read / total, p["out"]["kernel"]) + p["out"]["bias"])[None]


def perceiver_resampler(p: dict[str, Any], y: Array, sees: Sees) -> Array:
    latents = p["latents"]
    for _, layer in sorted(p["layers"].items()):
        source = np.concatenate([norm(layer["set_norm"], y), norm(layer["norm"], latents)])
        own = attention(layer["attention"], source[len(y) :], source, lambda t, s: s >= len(y) or sees(t, s))
        latents = latents + own
        latents = latents + feed_forward(layer["feed_forward"], norm(layer["feed_forward_norm"], latents))
    return norm(p["norm"], latents)


def q_former(p: dict[str, Any], y: Array, sees: Sees) -> Array:
    x = norm(p["norm"], p["queries"])
    for number, block in sorted(p["blocks"].items()):
        reads = number % 2 == 0
        name = "self_" if reads else "attention_"
        own = block["self_attention" if reads else "attention"]
        x = norm(block[f"{name}residual"]["norm"], x + attention(own, x, x))
        if reads:
            x = norm(block["cross_residual"]["norm"], x + attention(block["cross_attention"], x, y, sees))
        x = norm(block["feed_forward_residual"]["norm"], x + feed_forward(block["feed_forward"], x))
    return x


def slot_attention(p: dict[str, Any], y: Array, sees: Sees, iterations: int = 3) -> Array:
    def sigmoid(h: Array) -> Array:
        return 1 / (1 + np.exp(-h))

    slots, set_ = p["mean"], norm(p["set_norm"], y)
    k, v = affine(p["key"], set_), affine(p["value"], set_)
    for _ in range(iterations):
        q = affine(p["query"], norm(p["slot_norm"], slots))
        shares = np.zeros((len(slots), len(y)))
        for s in range(len(y)):
            w = np.array([np.exp(q[i] @ k[s] / np.sqrt(len(k[s]))) * sees(i, s) for i in range(len(slots))])
            shares[:, s] = (w / w.sum() + 1e-8) * (w > 0) if w.any() else 0
        update = shares / shares.sum(1, keepdims=True) @ v
        new = np.einsum("kd,dge->gke", update, p["of_update"]["kernel"]) + p["of_update"]["bias"][:, None]
        old = np.einsum("kd,dge->gke", slots, p["of_slot"]["kernel"]) + p["of_slot"]["bias"][:, None]
        reset, kept = sigmoid(new[0] + old[0]), sigmoid(new[1] + old[1])
        slots = (1 - kept) * np.tanh(new[2] + reset * old[2]) + kept * slots
        slots = slots + feed_forward(p["feed_forward"], norm(p["feed_forward_norm"], slots))
    return slots


def _mab(p: dict[str, Any], x: Array, y: Array, sees: Sees = lambda t, s: True) -> Array:
    h = norm(p["attention_residual"]["norm"], x + attention(p["attention"], x, y, sees))
    return norm(p["feed_forward_residual"]["norm"], h + feed_forward(p["feed_forward"], h))


def isab(p: dict[str, Any], y: Array, sees: Sees) -> Array:
    return _mab(p["spread"], y, _mab(p["gather"], p["inducing"], y, sees))


def pma(p: dict[str, Any], y: Array, sees: Sees) -> Array:
    return _mab(p["block"], p["seeds"], feed_forward(p["feed_forward"], y), sees)
