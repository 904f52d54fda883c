"""Numbers on the heads of an attention layer. Free of jax: reports show them."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

NUMBERS = ("entropy", "sink", "distance", "agreement", "dormant")
"""Those of `numbers_of_heads`."""
DORMANT = 0.9
"""The share of the weight on the first token from which on a head is dormant."""


def numbers_of_heads(weights: Float[np.ndarray, "B N T S"]) -> dict[str, float]:
    """Returns numbers on the heads of a layer, each a mean over heads, rows and inputs.

    "entropy" is that of a row in nats, "sink" its weight on the first key, "distance" the mean |t - s| under
    it in tokens, "agreement" one less the Jensen–Shannon divergence of pairs of heads over log 2, "dormant"
    the share of heads whose sink is above 0.9. Weights that are no distributions count by their size. Rows of
    padding count as others.

    References:
      Guo et al., Active-Dormant Attention Heads, 2024, arXiv:2410.13835 (dormant).

    Example:
      >>> weights = np.zeros((1, 2, 2, 2))
      >>> weights[0, 0], weights[0, 1] = np.eye(2), [[1, 0], [1, 0]]
      >>> numbers = numbers_of_heads(weights)
      >>> {name: round(value, 6) for name, value in numbers.items()}
      {'entropy': 0.0, 'sink': 0.75, 'distance': 0.25, 'agreement': 0.5, 'dormant': 0.5}
    """
    sizes = np.abs(np.asarray(weights, np.float64))
    total = sizes.sum(-1, keepdims=True)
    p = sizes / np.where(total > 0, total, 1)
    rows, keys = p.shape[-2:]
    far = np.abs(np.arange(rows)[:, None] - np.arange(keys))
    heads = p.shape[1]
    pairs = [(i, j) for i in range(heads) for j in range(i)]
    apart = [
        _entropy((p[:, i] + p[:, j]) / 2) - (_entropy(p[:, i]) + _entropy(p[:, j])) / 2 for i, j in pairs
    ]
    sink = p[..., 0].mean((0, 2))
    return {
        "entropy": float(_entropy(p).mean()),
        "sink": float(sink.mean()),
        "distance": float((p * far).sum(-1).mean()),
        "agreement": 1 - float(np.mean(apart)) / float(np.log(2)) if pairs else 1.0,
        "dormant": float((sink > DORMANT).mean()),
    }


def mean_of_layers(layers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns each of the `NUMBERS` as its mean over layers; nothing where there are none.

    Example:
      >>> layer = dict.fromkeys(NUMBERS, 1.0)
      >>> mean_of_layers([layer, layer | {"sink": 0.0}])["sink"]
      0.5
    """
    return {name: sum(x[name] for x in layers) / len(layers) for name in NUMBERS} if layers else {}


def _entropy(p: Float[np.ndarray, "*B S"]) -> Float[np.ndarray, "*B"]:
    found: Float[np.ndarray, "*B"] = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
    return found
