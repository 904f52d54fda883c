"""Relatives of softmax attention as their papers write them: loops over tokens and heads, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Layer = Any
"""Of attnjax; only its parameters are read."""


def weight(part: Any, x: np.ndarray) -> np.ndarray:
    """Returns x W + b."""
    return np.tensordot(x, np.asarray(part.kernel[...]), 1) + (
        0 if part.bias is None else np.asarray(part.bias[...])
    )


def rms(x: np.ndarray, gain: Any, eps: float = 1e-6) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * np.asarray(gain[...])


def turned(x: np.ndarray) -> np.ndarray:
    """RoPE of [T, …, H] in halves: the pair (x_a, x_{a+H/2}) of token t by the angle t/10000^(2a/H)."""
    half, out = x.shape[-1] // 2, x.copy()
    for t in range(len(x)):
        for a in range(half):
            angle = t / 10_000 ** (a / half)
            first, second = x[t, ..., a], x[t, ..., a + half]
            out[t, ..., a] = first * math.cos(angle) - second * math.sin(angle)
            out[t, ..., a + half] = first * math.sin(angle) + second * math.cos(angle)
    return out


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def read(query: np.ndarray, keys: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """Causal softmax attention of one head: [T, H], [T, H], [T, V]."""
    return np.stack([softmax(scale * keys[: t + 1] @ query[t]) @ values[: t + 1] for t in range(len(query))])


def joined(layer: Layer, heads: np.ndarray) -> np.ndarray:
    """The last projection of [T, N, V]."""
    return np.einsum("tnv,nvd->td", heads, layer.out.kernel[...]) + np.asarray(layer.out.bias[...])


def mla(layer: Layer, x: np.ndarray) -> np.ndarray:
    latent = rms(weight(layer.compress, x), layer.compress_norm.scale)
    rotated = turned(weight(layer.rope_key, x))
    source = x
    if layer.query_rank is not None:
        source = rms(weight(layer.query_down, x), layer.query_down_norm.scale)
    query, size = weight(layer.query, source), layer.content_dim
    heads = []
    for n in range(layer.heads):
        keys = np.concatenate([latent @ layer.key.kernel[...][:, n], rotated], -1)
        values = latent @ layer.value.kernel[...][:, n]
        own = np.concatenate([query[:, n, :size], turned(query[:, n, size:])], -1)
        heads.append(read(own, keys, values, own.shape[-1] ** -0.5))
    return joined(layer, np.stack(heads, 1))


def differential(layer: Layer, x: np.ndarray) -> np.ndarray:
    query, keys, values = (weight(part, x) for part in (layer.query, layer.key, layer.value))
    size = query.shape[-1] // 2
    (a1, b1), (a2, b2) = np.asarray(layer.exponents[...])
    start = 0.8 - 0.6 * math.exp(-0.3 * 1)
    share = math.exp(a1 @ b1) - math.exp(a2 @ b2) + start
    heads = []
    for n in range(layer.heads):
        k = n // (layer.heads // layer.kv_heads)
        first, second = (
            read(turned(query[:, n, part]), turned(keys[:, k, part]), values[:, k], size**-0.5)
            for part in (slice(0, size), slice(size, None))
        )
        heads.append(rms(first - share * second, layer.norm.scale, 1e-5) * (1 - start))
    return joined(layer, np.stack(heads, 1))


def selective(layer: Layer, x: np.ndarray) -> np.ndarray:
    query, keys, values = (weight(part, x) for part in (layer.query, layer.key, layer.value))
    query, keys = turned(query), turned(keys)
    tokens, shared = len(x), layer.heads // layer.kv_heads
    scores = np.einsum("tnh,snh->nts", query, keys.repeat(shared, 1)) / math.sqrt(query.shape[-1])
    lost = np.zeros((tokens, tokens))
    for i in range(tokens):
        for j in range(1, tokens):
            lost[i, j] = sum(max(scores[0, k, j], 0) for k in range(j + 1, i))
    heads = np.zeros((tokens, layer.heads, values.shape[-1]))
    for n in range(layer.heads):
        for t in range(tokens):
            heads[t, n] = softmax((scores[n] - lost)[t, : t + 1]) @ values[: t + 1, n // shared]
    return joined(layer, heads)


def path(layer: Layer, x: np.ndarray) -> np.ndarray:
    query, keys, values = (weight(part, x) for part in (layer.query, layer.key, layer.value))
    raw = weight(layer.direction, x)
    w = raw / np.sqrt((raw * raw).sum(-1, keepdims=True) + 1e-6)
    beta = 2 / (1 + np.exp(-weight(layer.strength, x)))
    heads, shared = np.zeros((len(x), layer.heads, values.shape[-1])), layer.heads // layer.kv_heads
    for n in range(layer.heads):
        k = n // shared
        for i in range(len(x)):
            moved, scores = query[i, n], np.zeros(i + 1)
            for j in range(i, -1, -1):
                scores[j] = moved @ keys[j, k] / math.sqrt(query.shape[-1])
                moved = moved - beta[j, k] * (moved @ w[j, k]) * w[j, k]
            heads[i, n] = softmax(scores) @ values[: i + 1, k]
    return joined(layer, heads)


def deltaformer(layer: Layer, x: np.ndarray) -> np.ndarray:
    query, keys, values = (weight(part, x) for part in (layer.query, layer.key, layer.value))
    query, keys, beta = turned(query), turned(keys), weight(layer.strength, x)
    scale, written = query.shape[-1] ** -0.5, np.zeros_like(values)
    for k in range(layer.kv_heads):
        for t in range(len(x)):
            written[t, k] = values[t, k]
            if t:
                weights = softmax(scale * keys[:t, k] @ keys[t, k])
                written[t, k] -= beta[t, k] * weights @ written[:t, k]
    shared = layer.heads // layer.kv_heads
    found = [
        read(query[:, n], keys[:, n // shared], written[:, n // shared], scale) for n in range(layer.heads)
    ]
    return joined(layer, np.stack(found, 1))


def multi_token(layer: Layer, x: np.ndarray) -> np.ndarray:
    query, keys, values = (weight(part, x) for part in (layer.query, layer.key, layer.value))
    query, keys, tokens = turned(query), turned(keys), len(x)
    kernel, shared = np.asarray(layer.kernel[...]), layer.heads // layer.kv_heads
    _, rows, columns = kernel.shape
    weights = np.zeros((layer.heads, tokens, tokens))
    for n in range(layer.heads):
        scores = query[:, n] @ keys[:, n // shared].T / math.sqrt(query.shape[-1])
        for i in range(tokens):
            mixed = np.zeros(i + 1)
            for j in range(i + 1):
                for a in range(rows):
                    for b in range(columns):
                        at, key = i - a, j - (b - columns // 2)
                        if 0 <= key <= at:
                            mixed[j] += kernel[n, a, b] * scores[at, key]
            weights[n, i, : i + 1] = softmax(mixed)
    group = layer.mixing.shape[-1]
    heads = np.zeros((tokens, layer.heads, values.shape[-1]))
    for n in range(layer.heads):
        first = n // group * group
        mixing = np.asarray(layer.mixing[...])[n // group]
        own = sum(weights[first + m] * mixing[m, n - first] for m in range(group))
        heads[:, n] = own @ values[:, n // shared]
    return joined(layer, rms(heads, layer.norm.scale))


def tensor_product(layer: Layer, x: np.ndarray) -> np.ndarray:
    parts = {}
    for part, rank in layer.ranks.items():
        heads, channels = weight(layer.over_heads[part], x), weight(layer.over_channels[part], x)
        channels = channels if part == "value" else turned(channels)
        parts[part] = sum(heads[:, r, :, None] * channels[:, r, None] for r in range(rank)) / rank
    found = [
        read(parts["query"][:, n], parts["key"][:, n], parts["value"][:, n], layer.head_dim**-0.5)
        for n in range(layer.heads)
    ]
    return joined(layer, np.stack(found, 1))


def mixture_of_attention(layer: Layer, x: np.ndarray) -> np.ndarray:
    query, keys, values = (weight(part, x) for part in (layer.query, layer.key, layer.value))
    query, keys, logits = turned(query), turned(keys), weight(layer.router, x)
    heads = np.zeros((len(x), layer.heads, values.shape[-1]))
    for t in range(len(x)):
        chosen = np.argsort(-logits[t])[: layer.active]
        for e, gate in zip(chosen, softmax(logits[t, chosen]), strict=True):
            weights = softmax(keys[: t + 1, 0] @ query[t, e] / math.sqrt(query.shape[-1]))
            heads[t, e] = gate * weights @ values[: t + 1, 0]
    return joined(layer, heads)


def hstu(layer: Layer, x: np.ndarray) -> np.ndarray:
    def silu(y: Any) -> np.ndarray:
        return np.asarray(y) / (1 + np.exp(-np.asarray(y)))

    parts = (layer.query, layer.key, layer.value, layer.output_gate.up)
    query, keys, values, gate = (silu(weight(part, x)) for part in parts)
    query, keys, shared = turned(query), turned(keys), layer.heads // layer.kv_heads
    heads = np.zeros((len(x), layer.heads, values.shape[-1]))
    for n in range(layer.heads):
        for t in range(len(x)):
            for s in range(t + 1):
                heads[t, n] += silu(query[t, n] @ keys[s, n // shared]) / 7 * values[s, n // shared]
    for t in range(len(x)):
        heads[t] = (heads[t] - heads[t].mean()) / np.sqrt(heads[t].var() + 1e-6) * gate[t]
    return joined(layer, heads)


LITERAL: dict[str, Callable[[Layer, np.ndarray], np.ndarray]] = {
    "mla": mla,
    "mla(query_rank=5)": mla,
    "differential(layer=1)": differential,
    "selective": selective,
    "path": path,
    "multi_token(queries=3, keys=4)": multi_token,
    "multi_token(queries=9, keys=40)": multi_token,
    "deltaformer": deltaformer,
    "hstu(length=7)": hstu,
    "tensor_product(rank=2, query_rank=3)": tensor_product,
    "mixture_of_attention(active=2)": mixture_of_attention,
}
