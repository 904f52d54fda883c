"""Attention row by row in NumPy float64, looking at attended pairs only: what the engines are held to."""

import numpy as np


def attend(query, key, value, attended, *, scale=None, bias=None, score=None, sink=None):
    """(out [B, T, N, V], lse [B, N, T]) of softmax attention; `score(s, b, h, i, j)` works on one number."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    batch, length, heads, size = query.shape
    group = heads // key.shape[2]
    scale = 1 / np.sqrt(size) if scale is None else scale
    out = np.zeros((batch, length, heads, value.shape[3]))
    lse = np.full((batch, heads, length), -np.inf)
    for b, h, i in np.ndindex(batch, heads, length):
        keys = [j for j in range(key.shape[1]) if attended[b, h, i, j]]
        if not keys:
            continue
        scores = []
        for j in keys:
            s = scale * query[b, i, h] @ key[b, j, h // group]
            s = s if score is None else score(s, b, h, i, j)
            scores.append(s if bias is None else s + bias[b, h, i, j])
        extra = [] if sink is None else [float(sink[h])]
        top = max(scores + extra)
        total = sum(np.exp(s - top) for s in scores + extra)
        lse[b, h, i] = top + np.log(total)
        for j, s in zip(keys, scores, strict=True):
            out[b, i, h] += np.exp(s - lse[b, h, i]) * value[b, j, h // group]
    return out, lse
