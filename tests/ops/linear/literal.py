"""The members of the family written out from their papers: one head, one sequence, token by token, float64.

Each takes query [T, H], key [T, H], value [T, V] and a dict of gates of that head, with "head" (its number)
and "heads" besides, and returns out [T, V] and what is left after the last token (None where it is a sum over
all pairs that has no state of its own).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Gates = Mapping[str, Any]
Answer = tuple[np.ndarray, Any]


def recurrence(q: np.ndarray, k: np.ndarray, v: np.ndarray, step: Callable[..., np.ndarray]) -> Answer:
    """out_t = Sᵀ q_t after S = step(S, t)."""
    state, out = np.zeros((k.shape[-1], v.shape[-1])), []
    for t in range(len(q)):
        state = step(state, t)
        out.append(state.T @ q[t])
    return np.array(out).reshape(len(q), v.shape[-1]), state


def scaled(q: np.ndarray) -> np.ndarray:
    return q / np.sqrt(q.shape[-1])


def retention(q, k, v, g: Gates) -> Answer:
    gamma = 1 - 2.0 ** (-5 - g["head"])
    return recurrence(scaled(q), k, v, lambda S, t: gamma * S + np.outer(k[t], v[t]))


def lightning(q, k, v, g: Gates) -> Answer:
    slope = 2.0 ** (-8 * (g["head"] + 1) / g["heads"]) * (1 - g["layer"] / (g["layers"] - 1) + 1e-5)
    return recurrence(scaled(q), k, v, lambda S, t: np.exp(-slope) * S + np.outer(k[t], v[t]))


def simple_gla(q, k, v, g: Gates) -> Answer:
    return recurrence(scaled(q), k, v, lambda S, t: np.exp(g["decay"][t]) * S + np.outer(k[t], v[t]))


def mamba2(q, k, v, g: Gates) -> Answer:
    def step(S, t):
        return np.exp(g["dt"][t] * g["rate"]) * S + g["dt"][t] * np.outer(k[t], v[t])

    out, state = recurrence(q, k, v, step)
    return out + g["skip"] * v, state


def gla(q, k, v, g: Gates) -> Answer:
    return recurrence(scaled(q), k, v, lambda S, t: np.diag(np.exp(g["decay"][t])) @ S + np.outer(k[t], v[t]))


def hgrn2(q, log_f, v, g: Gates) -> Answer:
    f = g["layer"] / g["layers"] + (1 - g["layer"] / g["layers"]) * np.exp(log_f)
    return recurrence(q, f, v, lambda S, t: np.diag(f[t]) @ S + np.outer(1 - f[t], v[t]))


def rwkv6(q, k, v, g: Gates) -> Answer:
    state, out = np.zeros((k.shape[-1], v.shape[-1])), []
    for t in range(len(q)):
        out.append((state + np.diag(g["bonus"]) @ np.outer(k[t], v[t])).T @ q[t])
        state = np.diag(np.exp(g["decay"][t])) @ state + np.outer(k[t], v[t])
    return np.array(out).reshape(len(q), v.shape[-1]), state


def replaced(S, k, v, beta) -> np.ndarray:
    """The delta rule: a step from what the key recalls towards the value."""
    return S + beta * np.outer(k, v - S.T @ k)


def delta_net(q, k, v, g: Gates) -> Answer:
    return recurrence(scaled(q), k, v, lambda S, t: replaced(S, k[t], v[t], g["strength"][t]))


def gated_delta_net(q, k, v, g: Gates) -> Answer:
    def step(S, t):
        return replaced(np.exp(g["decay"][t]) * S, k[t], v[t], g["strength"][t])

    return recurrence(scaled(q), k, v, step)


def kda(q, k, v, g: Gates) -> Answer:
    def step(S, t):
        return replaced(np.diag(np.exp(g["decay"][t])) @ S, k[t], v[t], g["strength"][t])

    return recurrence(scaled(q), k, v, step)


def gdn2(q, k, v, g: Gates) -> Answer:
    """The paper's product of matrices, not the delta rule's difference."""

    def step(S, t):
        kept = np.eye(len(S)) - np.outer(k[t], g["erase_strength"][t] * k[t])
        return kept @ np.diag(np.exp(g["decay"][t])) @ S + np.outer(k[t], g["write_strength"][t] * v[t])

    return recurrence(scaled(q), k, v, step)


def comba(q, k, v, g: Gates) -> Answer:
    def step(S, t):
        beta = g["strength"][t]
        kept = np.eye(len(S)) - g["feedback"] * beta * np.outer(k[t], k[t])
        return np.exp(g["decay"][t]) * kept @ S + beta * np.outer(k[t], v[t])

    return recurrence(scaled(q - g["correction"] * k), k, v, step)


def delta_product(q, k, v, g: Gates) -> Answer:
    def step(S, t):
        S = np.exp(g["decay"][t]) * S
        for write in range(k.shape[1]):
            S = replaced(S, k[t, write], v[t, write], g["strength"][t, write])
        return S

    return recurrence(scaled(q), k, v, step)


def rwkv7(q, k, v, g: Gates) -> Answer:
    """The paper's state is the transpose, S (diag(w) - κ̂ᵀ(a ⊙ κ̂)) + vᵀ k."""
    state, out = np.zeros((v.shape[-1], k.shape[-1])), []
    for t in range(len(q)):
        w, removal, a = np.exp(g["decay"][t]), g["removal"][t], g["learning_rate"][t]
        state = state @ (np.diag(w) - np.outer(removal, a * removal)) + np.outer(v[t], k[t])
        out.append(state @ q[t])
    return np.array(out).reshape(len(q), v.shape[-1]), state.T


def weighted(q, k, v, weight: Callable[..., float], two_sided: bool) -> Answer:
    """Σ_j weight(q_i, k_j, i - j) v_j over their sum."""
    out = np.zeros((len(q), v.shape[-1]))
    for i in range(len(q)):
        weights = [weight(q[i], k[j], i - j) for j in range(len(k) if two_sided else i + 1)]
        if sum(weights):
            out[i] = np.array(weights) @ v[: len(weights)] / sum(weights)
    return out, None


def linear(q, k, v, g: Gates) -> Answer:
    def phi(x):
        return np.where(x > 0, x + 1, np.exp(x))

    return weighted(q, k, v, lambda a, b, d: phi(a) @ phi(b), g["two_sided"])


def performer(q, k, v, g: Gates) -> Answer:
    def phi(x):
        x = x / x.shape[-1] ** 0.25
        return np.exp(g["projection"] @ x - x @ x / 2)

    return weighted(q, k, v, lambda a, b, d: phi(a) @ phi(b), g["two_sided"])


def cosformer(q, k, v, g: Gates) -> Answer:
    def weight(a, b, distance):
        return np.maximum(a, 0) @ np.maximum(b, 0) * np.cos(np.pi / 2 * distance / g["horizon"])

    return weighted(q, k, v, weight, g["two_sided"])


def based(q, k, v, g: Gates) -> Answer:
    def weight(a, b, distance):
        x = a @ b / np.sqrt(len(a))
        return 1 + x + x * x / 2

    return weighted(q, k, v, weight, g["two_sided"])


def rebased(q, k, v, g: Gates) -> Answer:
    def norm(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5)

    def weight(a, b, distance):
        a = g["query_gain"] * norm(a) + g["query_shift"]
        b = g["key_gain"] * norm(b) + g["key_shift"]
        return (a @ b) ** 2

    return weighted(q, k, v, weight, g["two_sided"])


def log_linear(q, k, v, g: Gates) -> Answer:
    """The paper's recurrence: at t the levels up to t's lowest set bit move into the next one."""
    count = g["levels"].shape[-1]
    levels, out = np.zeros((count, k.shape[-1], v.shape[-1])), []
    for t in range(len(q)):
        levels = np.exp(g["decay"][t]) * levels
        if t:
            lowest = (t & -t).bit_length() - 1
            levels[lowest + 1] = levels[: lowest + 1].sum(0)
            levels[: lowest + 1] = 0
        levels[0] = np.outer(k[t], v[t])
        out.append(sum(g["levels"][t, i] * levels[i].T @ q[t] for i in range(count)) / np.sqrt(len(q[t])))
    return np.array(out).reshape(len(q), v.shape[-1]), (levels, len(q))


def mesa(q, k, v, g: Gates) -> Answer:
    size = k.shape[-1]
    covariance, memory, out = np.zeros((size, size)), np.zeros((size, v.shape[-1])), []
    for t in range(len(q)):
        kept, beta = np.exp(g["decay"][t]), g["strength"][t]
        covariance = kept * covariance + beta * np.outer(k[t], k[t])
        memory = kept * memory + beta * np.outer(k[t], v[t])
        out.append(memory.T @ np.linalg.solve(covariance + np.diag(g["ridge"]), q[t]))
    return np.array(out).reshape(len(q), v.shape[-1]), (covariance, memory)


def gated_slot(q, k, v, g: Gates) -> Answer:
    alpha = np.exp(g["decay"])
    keys, values = np.zeros((alpha.shape[-1], k.shape[-1])), np.zeros((alpha.shape[-1], v.shape[-1]))
    out = []
    for t in range(len(q)):
        keys = np.diag(alpha[t]) @ keys + np.outer(1 - alpha[t], k[t])
        values = np.diag(alpha[t]) @ values + np.outer(1 - alpha[t], v[t])
        scores = keys @ q[t] / np.sqrt(len(q[t]))
        weights = np.exp(scores - scores.max())
        out.append(values.T @ weights / weights.sum())
    return np.array(out).reshape(len(q), v.shape[-1]), (keys.T, values)
