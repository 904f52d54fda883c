"""Metrics that ask a method again: with noise, with other parameters, of models of other seeds."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import spearmanr

from attnjax.explain.attributions.attribution import Attribution
from attnjax.explain.faithfulness.controls import divergence
from attnjax.explain.question import Question
from attnjax.nn.taps import Taps, add

Ask = Callable[[Question], Attribution]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoisyQuestion(Question):
    """A question whose tokens stand for other vectors: those of the model, and what is added to them.

    Noise is added to whatever stands at a place, to a baseline that is a token too.

    Attributes:
      noise: [B, T, W].
    """

    noise: Any = field(default=None, kw_only=True)

    def run(self, taps: Taps | None = None) -> Any:
        """Returns the model's output."""
        taps = Taps() if taps is None else taps
        # A method that puts in vectors of its own has read the noise with them.
        write = taps.write if self.site in taps.write else {self.site: add(self.noise), **taps.write}
        return super().run(replace(taps, write=write))


def max_sensitivity(
    question: Question, method: Ask, radius: float = 0.02, samples: int = 10, seed: int = 0
) -> Float[np.ndarray, " B"]:
    """Returns the largest ‖φ(x + ε) - φ(x)‖ / ‖φ(x)‖ of a method's scores φ, of so many noises ε.

    Args:
      question: from `ask`.
      method: from a question to its attribution.
      radius: the noise is even in ±radius·(the largest |entry| of the tokens' vectors).
      samples: noises that are tried; the maximum grows with them.
      seed: draws them.

    Reference:
      Yeh et al., On the (In)fidelity and Sensitivity of Explanations, 2019, arXiv:1901.09392.
    """
    vectors = jax.jit(lambda question: question.vectors())(question)
    size = radius * float(jnp.max(jnp.abs(vectors)))
    given = {name: getattr(question, name) for name in question.__dataclass_fields__}

    def scores(noise: Array) -> Float[np.ndarray, "B T"]:
        return np.asarray(method(NoisyQuestion(**given, noise=noise)).scores, np.float64)

    plain = scores(jnp.zeros_like(vectors))
    keys = jax.random.split(jax.random.key(seed), samples)
    noises = (jax.random.uniform(key, vectors.shape, vectors.dtype, -size, size) for key in keys)
    changes = [np.linalg.norm(scores(noise) - plain, axis=-1) for noise in noises]
    norm = np.linalg.norm(plain, axis=-1)
    return np.max(changes, axis=0) / np.where(norm == 0, 1, norm)


def model_randomisation(question: Question, method: Ask, seed: int = 0) -> Float[np.ndarray, "S B"]:
    """Returns the rank correlation of scores with those of the model whose parameters are shuffled, by stage.

    The first stage shuffles what lies above the last block, each further one a block below, the last one the
    embeddings: the entries of each array change places. A map that is about the model has 0 at the end.

    Reference:
      Adebayo et al., Sanity Checks for Saliency Maps, 2018, arXiv:1810.03292.
    """
    paths, leaves = _named(question.params)
    stages = [_stage(path, question.stack) for path in paths]
    rng = np.random.default_rng(seed)
    shuffled = [jnp.asarray(rng.permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)) for leaf in leaves]
    structure = jax.tree.structure(question.params)
    present = np.asarray(question.present)
    plain = np.asarray(method(question).scores)
    found = []
    for stage in sorted(set(stages)):
        mixed = [
            other if own <= stage else leaf for own, other, leaf in zip(stages, shuffled, leaves, strict=True)
        ]
        other = replace(question, params=jax.tree.unflatten(structure, mixed))
        scores = np.asarray(method(other).scores)
        found.append([_correlation(*pair) for pair in zip(plain, scores, present, strict=True)])
    return np.asarray(found)


def seed_variance(question: Question, others: Sequence[Question], method: Ask) -> Float[np.ndarray, " B"]:
    """Returns the mean Jensen–Shannon divergence of a method's map from those of other models, in nats.

    A map is the positive part of the scores over its sum; where nothing is positive it is even.

    Args:
      question: from `ask`.
      others: the same inputs asked of models that were trained from other seeds.
      method: from a question to its attribution.

    Reference:
      Wiegreffe & Pinter, Attention is not not Explanation, 2019, arXiv:1908.04626.
    """
    own, *rest = (_distribution(method(asked)) for asked in (question, *others))
    return np.mean([np.asarray(divergence(jnp.asarray(own), jnp.asarray(other))) for other in rest], axis=0)


def _distribution(found: Attribution) -> Float[np.ndarray, "B T"]:
    present = np.asarray(found.present)
    parts = np.where(present, np.maximum(np.asarray(found.scores, np.float64), 0), 0)
    total = parts.sum(-1, keepdims=True)
    return np.where(
        total > 0, parts / np.where(total > 0, total, 1), present / present.sum(-1, keepdims=True)
    )


def rank_stability(importances: Float[np.ndarray, "S F"]) -> float:
    """Returns the mean rank correlation (Spearman) of all pairs of rankings, one for each model or seed.

    It is 1 where all rank the features alike, and about 0 where each ranks them in an order of its own.

    Example:
      >>> rank_stability(np.array([[3.0, 2.0, 1.0], [9.0, 5.0, 4.0], [1.0, 2.0, 3.0]]))
      -0.3333333333333333
    """
    there = np.ones(importances.shape[1], bool)
    pairs = itertools.combinations(importances, 2)
    return float(np.mean([_correlation(one, other, there) for one, other in pairs]))


def _named(params: Any) -> tuple[list[list[str]], list[Array]]:
    found, _ = jax.tree_util.tree_flatten_with_path(params)
    paths = [[str(getattr(key, "key", key)) for key in path] for path, _ in found]
    return paths, [leaf for _, leaf in found]


def _stage(path: list[str], stack: str) -> tuple[int, int]:
    """Returns a key that sorts parameters from the top of a model downwards."""
    if "embedding" in path[0]:
        return 3, 0
    layer = next((int(part) for part in path if part.isdigit()), 0)
    if path[0] == stack:
        return 1, -layer
    if path[0] in ("encoder", "forward", "backward"):  # The last two are of a recurrent network.
        return 2, -layer
    return 0, 0


def _correlation(a: Float[np.ndarray, " T"], b: Float[np.ndarray, " T"], there: np.ndarray) -> float:
    a, b = a[there], b[there]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)
