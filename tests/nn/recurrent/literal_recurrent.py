"""Whole recurrent layers as their papers write them: loops over the tokens of one sequence, in float64."""

import cmath
import math
from typing import Any

import numpy as np

Array = np.ndarray
Parameters = dict[str, Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def softplus(x: Array) -> Array:
    return np.log1p(np.exp(x))


def into(p: Parameters, x: Array) -> Array:
    return np.tensordot(x, p["kernel"], 1) + p.get("bias", 0)


def out_of(p: Parameters, heads: Array) -> Array:
    """Of [T, N, V] into [T, D]."""
    return np.einsum("tnv,nvd->td", heads, p["kernel"]) + p.get("bias", 0)


def layer_norm(p: Parameters, x: Array, eps: float = 1e-6) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * p["scale"] + p["bias"]


def hgrn(p: Parameters, x: Array, bound: float = 0.0) -> Array:
    content, gate, out = silu(into(p["content"], x)), sigmoid(into(p["gate"], x)), np.zeros_like(x)
    forget = bound + (1 - bound) * sigmoid(into(p["forget"], x))
    h = [0j] * x.shape[1]
    for t in range(len(x)):
        for d in range(x.shape[1]):
            turned = forget[t, d] * cmath.exp(1j * p["phase"][d]) * h[d]
            h[d] = turned + (1 - forget[t, d]) * complex(*content[t, d])
        read = gate[t] * np.array([[z.real, z.imag] for z in h])
        out[t] = into(p["out"], layer_norm(p["norm"], read.ravel()))
    return out


def turned(x: Array, angles: Array) -> Array:
    """Pairs of neighbouring entries of x turned by these angles; the rest stays."""
    x = x.copy()
    for i, a in enumerate(angles):
        even, odd = x[2 * i], x[2 * i + 1]
        x[2 * i], x[2 * i + 1] = (
            even * math.cos(a) - odd * math.sin(a),
            even * math.sin(a) + odd * math.cos(a),
        )
    return x


def ttt_linear(p: Parameters, x: Array, size: int, base: float = 1.0) -> Array:
    """Gradients by the chain rule, entry by entry, where the mini-batch began."""
    query, key, value = (into(p[name], x) for name in ("query", "key", "value"))
    tokens, heads, width = query.shape
    rate = base / width * sigmoid(into(p["step"], x))
    read = np.zeros_like(query)
    for n in range(heads):
        gain, shift = p["gain"][n], p["shift"][n]

        def norm(z: Array, gain: Array = gain, shift: Array = shift) -> Array:
            return layer_norm({"scale": gain, "bias": shift}, z)

        weight, bias = p["weight"][n].copy(), p["bias"][n].copy()
        for start in range(0, tokens, size):
            sums = np.zeros_like(weight), np.zeros_like(bias)
            for place, t in enumerate(range(start, min(start + size, tokens))):
                angles = [place / 10_000 ** (2 * i / width) for i in range(width // 2)]
                q, k, v = turned(query[t, n], angles), turned(key[t, n], angles), value[t, n]
                z = k @ weight + bias
                wrong = k + norm(z) - v
                deviation = np.sqrt(z.var() + 1e-6)
                hat = (z - z.mean()) / deviation
                of_z = np.zeros(width)
                for i in range(width):
                    for j in range(width):
                        slope = ((i == j) - 1 / width - hat[i] * hat[j] / width) / deviation
                        of_z[j] += wrong[i] * gain[i] * slope
                sums = sums[0] + rate[t, n] * np.outer(k, of_z), sums[1] + rate[t, n] * of_z
                step = max(0, 1 / (place + 1) + p["place"][place])
                now = weight - step * sums[0], bias - step * sums[1]
                read[t, n] = q + norm(q @ now[0] + now[1])
            weight, bias = now
    norm = {name: part.ravel() for name, part in p["norm"].items()}
    return out_of(p["out"], layer_norm(norm, read.reshape(tokens, -1)).reshape(read.shape))


def mamba3(p: Parameters, x: Array, state: int, fraction: float = 0.5) -> Array:
    value, gate = into(p["value"], x), into(p["gate"], x)
    tokens, heads, width = value.shape
    step = softplus(into(p["step"]["up"], x))
    rate = -np.maximum(softplus(into(p["rate"], x)), 1e-4)
    share, speed = sigmoid(into(p["share"], x)), math.pi * np.tanh(into(p["angle"], x))

    def read_by(name: str, t: int) -> Array:
        y = into(p[name], x[t])
        return y / np.sqrt((y * y).mean() + 1e-5) * p[f"{name}_norm"]["scale"]

    read = np.zeros_like(value)
    for n in range(heads):
        S, angle, before = np.zeros((state, width)), 0.0, np.zeros((state, width))
        for t in range(tokens):
            angle = angle + step[t, n] * speed[t]
            k = turned(read_by("key", t) + p["key_bias"][n], angle)
            q = turned(read_by("query", t) + p["query_bias"][n], angle)
            kept, now = math.exp(step[t, n] * rate[t, n]), np.outer(k, value[t, n])
            S = kept * S + step[t, n] * ((1 - share[t, n]) * kept * before + share[t, n] * now)
            before = now
            read[t, n] = S.T @ q + p["skip"][n] * value[t, n]
    return out_of(p["out"], silu(gate) * read)


def mixed(x: Array, t: int, share: Array) -> Array:
    before = x[t - 1] if t else np.zeros_like(x[t])
    return x[t] + (before - x[t]) * share


def low_rank(p: Parameters, x: Array, activation: Any = np.tanh) -> Array:
    return into(p["up"], activation(into(p["down"], x)))


def rwkv6_time_mix(p: Parameters, x: Array) -> Array:
    heads, width = p["bonus"].shape
    shares, read = p["shift"]["shares"], np.zeros((len(x), heads, width))
    S = np.zeros((heads, width, width))
    for t in range(len(x)):
        hidden = np.tanh(into(p["shift"]["down"], mixed(x, t, shares[0])))
        of = [mixed(x, t, shares[1 + i] + hidden[i] @ p["shift"]["up"][i]) for i in range(5)]
        w = np.exp(-np.exp(low_rank(p["decay"], of[0])))
        k, v, r, g = (
            into(p[name], y) for name, y in zip(("key", "value", "receptance", "gate"), of[1:], strict=True)
        )
        for n in range(heads):
            now = np.outer(k[n], v[n])
            o = (S[n] + np.diag(p["bonus"][n]) @ now).T @ r[n]
            S[n] = np.diag(w[n]) @ S[n] + now
            norm = {name: p["norm"][name][n] for name in ("scale", "bias")}
            read[t, n] = layer_norm(norm, o, 64e-5) * silu(g[n])
    return out_of(p["out"], read)


def rwkv7_time_mix(p: Parameters, x: Array, first: Array | None = None) -> Array:
    heads, width = p["bonus"].shape
    shares, read = p["shift"]["shares"], np.zeros((len(x), heads, width))
    S = np.zeros((heads, width, width))
    for t in range(len(x)):
        of_r, of_w, of_k, of_v, of_a, of_g = (mixed(x, t, share) for share in shares)
        r, key, v = into(p["receptance"], of_r), into(p["key"], of_k), into(p["value"], of_v)
        w = np.exp(-np.exp(-0.5) * sigmoid(low_rank(p["decay"], of_w)))
        a = sigmoid(low_rank(p["rate"], of_a, lambda y: y))
        if first is not None:
            v = v + sigmoid(low_rank(p["residual"], of_v, lambda y: y)) * (first[t] - v)
        g, k = low_rank(p["gate"], of_g, sigmoid), key * (1 + (a - 1) * p["share"])
        for n in range(heads):
            removal = key[n] * p["removal"][n]
            removal = removal / np.sqrt(removal @ removal + 1e-6)
            # The paper's state is the transpose.
            S[n] = S[n] @ (np.diag(w[n]) - np.outer(removal, a[n] * removal)) + np.outer(v[n], k[n])
            norm = {name: p["norm"][name][n] for name in ("scale", "bias")}
            own = (r[n] * k[n] * p["bonus"][n]).sum() * v[n]
            read[t, n] = g[n] * (layer_norm(norm, S[n] @ r[n], 64e-5) + own)
    return out_of(p["out"], read)
