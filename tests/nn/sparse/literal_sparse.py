"""The definitions of sparse attention as loops over queries, heads and keys, in NumPy's float64."""

import numpy as np


def softmax(scores):
    e = np.exp(np.array(scores) - np.max(scores))
    return e / e.sum()


def attend(q, keys, values):
    """One query over a list of keys; 0 over none."""
    if len(keys) == 0:
        return np.zeros(values.shape[-1])
    return softmax(keys @ q / np.sqrt(len(q))) @ values


def over_heads(query, key, value, one):
    """one(i, n, k) for each query i and head n, and its key head k."""
    group = query.shape[1] // key.shape[1]
    out = np.zeros((*query.shape[:2], value.shape[-1]))
    for i, n in np.ndindex(query.shape[:2]):
        out[i, n] = one(i, n, n // group)
    return out


def moba(query, key, value, size, count):
    """[T, N, H] of one row of tokens."""

    def one(i, n, k):
        own = i // size
        liked = [-(query[i, n] @ key[b * size : (b + 1) * size, k].mean(0)) for b in range(own)]
        chosen = {own, *np.argsort(liked, kind="stable")[: count - 1]}
        seen = [j for j in range(i + 1) if j // size in chosen]
        return attend(query[i, n], key[seen, k], value[seen, k])

    return over_heads(query, key, value, one)


def nsa(query, key, value, size, count, window, gates, of_keys, of_values):
    """`gates` [T, N, 3] in (0, 1); `of_keys` and `of_values` make a vector of a block [size, H]."""
    blocks = [range(b, b + size) for b in range(0, len(key) - size + 1, size)]
    short_keys = np.array([[of_keys(key[b, k]) for k in range(key.shape[1])] for b in blocks])
    short_values = np.array([[of_values(value[b, k]) for k in range(key.shape[1])] for b in blocks])
    group = query.shape[1] // key.shape[1]

    def one(i, n, k):
        whole = sum(b[-1] <= i for b in blocks)
        own, weight = i // size, np.zeros(i // size + 1)
        for m in range(k * group, (k + 1) * group):
            if whole:
                weight[:whole] += softmax(short_keys[:whole, k] @ query[i, m] / np.sqrt(query.shape[-1]))
        order = [own, own - 1, 0, *np.argsort(-weight[:own], kind="stable")]
        chosen = list(dict.fromkeys(b for b in order if b >= 0))[:count]
        seen = [j for j in range(i + 1) if j // size in chosen]
        near = range(max(0, i - window + 1), i + 1)
        parts = (
            attend(query[i, n], short_keys[:whole, k], short_values[:whole, k]),
            attend(query[i, n], key[seen, k], value[seen, k]),
            attend(query[i, n], key[near, k], value[near, k]),
        )
        return sum(g * part for g, part in zip(gates[i, n], parts, strict=True))

    return over_heads(query, key, value, one)


def dsa(query, key, value, count, index_query, index_key, gain):
    """`index_query` [T, J, I], `index_key` [T, I] and `gain` [T, J] are the indexer's."""

    def one(i, n, k):
        scores = np.zeros(i + 1)
        for j, m in np.ndindex(i + 1, gain.shape[1]):
            scores[j] += gain[i, m] * max(0, index_query[i, m] @ index_key[j])
        seen = np.argsort(-scores, kind="stable")[:count]
        return attend(query[i, n], key[seen, k], value[seen, k])

    return over_heads(query, key, value, one)


def buckets(query, key, value, size, of_query, of_key):
    """`of_query` [T, N, R] and `of_key` [T, K, R] are the buckets of each round."""

    def one(i, n, k):
        seen = {i}
        for r in range(of_query.shape[-1]):
            mine = [j for j in range(i + 1) if of_key[j, k, r] == of_query[i, n, r]]
            seen |= set(mine[-size:])
        return attend(query[i, n], key[sorted(seen), k], value[sorted(seen), k])

    return over_heads(query, key, value, one)


def lsh(vectors, rotations):
    """Of [T, N, H] and [H, R, half]."""
    turned = np.einsum("tnh,hrm->tnrm", vectors, rotations)
    return np.argmax(np.concatenate([turned, -turned], axis=-1), axis=-1)


def nearest(vectors, centroids):
    return np.argmax(vectors @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T, axis=-1)[
        ..., None
    ]


def linformer(query, key, value, of_keys, of_values):
    """`of_keys` and `of_values` are [T, rank]."""
    short_keys = np.array([sum(w * k for w, k in zip(column, key, strict=True)) for column in of_keys.T])
    short_values = np.array(
        [sum(w * v for w, v in zip(column, value, strict=True)) for column in of_values.T]
    )
    return over_heads(
        query, key, value, lambda i, n, k: attend(query[i, n], short_keys[:, k], short_values[:, k])
    )


def nystrom(query, key, value, size, taps):
    """With NumPy's own pseudo-inverse; stretches of `size` tokens, `taps` [width, N] of a convolution."""
    stretches = [range(b, min(b + size, len(key))) for b in range(0, len(key), size)]
    group = query.shape[1] // key.shape[1]
    scale = np.sqrt(query.shape[-1])
    out = np.zeros((*query.shape[:2], value.shape[-1]))
    for n in range(query.shape[1]):
        q, k, v = query[:, n], key[:, n // group], value[:, n // group]
        q_mean, k_mean = (np.array([x[s].mean(0) for s in stretches]) for x in (q, k))
        first, second, third = (
            np.array([softmax(row) for row in a @ b.T / scale])
            for a, b in ((q, k_mean), (q_mean, k_mean), (q_mean, k))
        )
        out[:, n] = first @ np.linalg.pinv(second) @ third @ v
        for i, w in np.ndindex(len(q), len(taps)):
            j = i + w - len(taps) // 2
            if 0 <= j < len(q):
                out[i, n] += taps[w, n] * v[j]
    return out
