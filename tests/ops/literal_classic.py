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


def _softmax(scores, attended):
    weights = np.where(attended, np.exp(scores - np.max(np.where(attended, scores, -np.inf))), 0)
    return weights / weights.sum()


def coverage(query, key, v, weight, attended):
    """Returns the weights [T, S] of one head, and the loss of each query."""
    covered, weights, losses = np.zeros(len(key)), [], []
    for i, q in enumerate(query):
        scores = np.array([v @ np.tanh(q + k + weight * c) for k, c in zip(key, covered, strict=True)])
        weights.append(_softmax(scores, attended[i]))
        losses.append(sum(min(a, c) for a, c in zip(weights[-1], covered, strict=True)))
        covered = covered + weights[-1]
    return np.array(weights), np.array(losses)


def local_p(query, key, position, size, attended):
    """Returns the weights [T, S] of one head."""
    weights = np.zeros((len(query), len(key)))
    for i, p in enumerate(position):
        near = [j for j in range(len(key)) if abs(j - p) <= size and attended[i, j]]
        total = sum(np.exp(query[i] @ key[j] / np.sqrt(len(key[j]))) for j in near)
        for j in near:
            align = np.exp(query[i] @ key[j] / np.sqrt(len(key[j]))) / total
            weights[i, j] = align * np.exp(-((j - p) ** 2) / (2 * (size / 2) ** 2))
    return weights


def monotonic(choose):
    """Returns the expected alignment [T, S]: all stops of each query, from all those of the one before."""
    rows, keys = choose.shape
    weights, before = np.zeros((rows, keys)), np.eye(keys)[0]
    for i in range(rows):
        for start in range(keys):
            passed = 1.0
            for j in range(start, keys):
                weights[i, j] += before[start] * passed * choose[i, j]
                passed *= 1 - choose[i, j]
        before = weights[i]
    return weights


def hard_monotonic(choose):
    """Returns the key at which each query stops; None where it passes the last one, as all after it."""
    stops, start = [], 0
    for row in choose:
        stop = None if start is None else next((j for j in range(start, len(row)) if row[j] >= 0.5), None)
        stops.append(stop)
        start = stop
    return stops


def pointer(logits, weights, gate, source, size):
    """Returns the distribution [T, E] over the extended vocabulary."""
    found = np.zeros((len(logits), size))
    for t, row in enumerate(logits):
        generate = 1 / (1 + np.exp(-gate[t]))
        found[t, : len(row)] = generate * np.exp(row) / np.exp(row).sum()
        for j, word in enumerate(source):
            found[t, word] += (1 - generate) * weights[t, j]
    return found
