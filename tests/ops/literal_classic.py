"""The classic mechanisms by their formulas, pair by pair, in NumPy and float64."""

import numpy as np


def _cosine(q, k):
    return q @ k / np.sqrt((q @ q) * (k @ k))


COMPARISONS = {
    "dot": lambda q, k: q @ k,
    "scaled_dot": lambda q, k: q @ k / np.sqrt(len(q)),
    "general": lambda q, k, weight: q @ weight @ k,
    "bilinear": lambda q, k, weight, bias: q @ weight @ k + bias,
    "cosine": lambda q, k, temperature: _cosine(q, k) / temperature,
    "linear_combination": lambda q, k, weight, bias: weight @ np.concatenate([q, k, q * k]) + bias,
    "all terms": lambda q, k, weight: weight @ np.concatenate([k, q - k, k + q, q / k, k / q, q * q, k * k]),
    "l2": lambda q, k: -((q - k) @ (q - k)) / np.sqrt(len(q)),
    "rbf": lambda q, k, gamma: -gamma * ((q - k) @ (q - k)),
    "additive": lambda q, k, v: v @ np.tanh(q + k),
    "concat": lambda q, k, v, w_q, w_k: v @ np.tanh(np.concatenate([w_q, w_k]).T @ np.concatenate([q, k])),
}
"""The score of a query q [H] and a key k [H], with the parameters of their heads."""


def scores(name, query, key, *parameters):
    """Returns the scores [N, T, S] of queries [T, N, H] and keys [S, K, H]; w_k is of key heads."""
    (length, heads, _), (keys, groups, _) = query.shape, key.shape
    found = np.zeros((heads, length, keys))
    for h, i, j in np.ndindex(*found.shape):
        own = [p[h * groups // heads if len(p) == groups else h] for p in parameters]
        found[h, i, j] = COMPARISONS[name](query[i, h], key[j, h * groups // heads], *own)
    return found
