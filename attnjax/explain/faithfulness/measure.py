"""Attributions measured: every metric beside a random order and the best one that is known."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from attnjax.config import require
from attnjax.explain.attributions.attribution import METHODS, Attribution, attribute
from attnjax.explain.faithfulness import controls, stability
from attnjax.explain.faithfulness.checks import marks, require_parts, wanted
from attnjax.explain.faithfulness.metrics import METRICS, OF_CURVES, OF_SCORES, sign_test
from attnjax.explain.faithfulness.orders import curves, extreme_ranks, random_ranks, ranks_of
from attnjax.explain.faithfulness.removal import Removal, require_removable
from attnjax.explain.faithfulness.table import BEST, MODEL, RANDOM, RATIONALE, Faithfulness, Values, mean_of
from attnjax.explain.question import Question

Attributed = str | Attribution | Callable[[Question], Attribution]
"""An attribution, the name of a method, or a method with its options as a function of the question."""


def faithfulness(
    question: Question,
    attributions: Attributed | Mapping[str, Attributed],
    metrics: Sequence[str] | None = None,
    *,
    rationale: Any = None,
    protected: Any = None,
    removal: Removal = "replace",
    baseline: Any = None,
    orders: int = 10,
    exact: int = 10,
    beam: int = 5,
    others: Sequence[Question] = (),
    seed: int = 0,
    at_once: int = 32,
) -> Faithfulness:
    """Returns how faithful attributions are, beside random orders and the best one that is known.

    All removals of all orders are one program; padding is never removed, and neither counts nor gets credit.
    The number that falls is that of the question: ERASER's is `Target(of="probability")`.

    Args:
      question: from `ask`.
      attributions: one, or several by the names of their rows. A name of a method stands for its scores.
      metrics: of `METRICS`; None: those of orders, and with a rationale those of scores.
      rationale: [B, T], True where a token is known to decide.
      protected: [B, T], True where a token is never removed and gets no credit, such as a class token.
      removal: "replace" by the baseline, or "delete".
      baseline: of removed tokens: the id of a mask token, vectors [B, T, W], or None for vectors of 0.
      orders: random ones.
      exact: tokens of the longest input for which the best and worst orders are exact, by 2^tokens runs.
      beam: width of the search for these among longer inputs.
      others: the same inputs asked of models of other seeds, for seed_variance.
      seed: of random orders, of ties, of noise and shuffles.
      at_once: versions of the batch that the model reads together.

    Raises:
      InputError: a metric is unknown, or lacks what it needs; shapes differ; nothing is left to remove.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from attnjax.explain import ask
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> question = ask(model, jnp.array([[3, 1, 4]]))
      >>> found = faithfulness(question, "occlusion", ("aopc", "naopc"), orders=2)
      >>> list(found.table), float(found.table["best order"]["naopc"])
      (['occlusion', 'random order', 'best order'], 1.0)
    """
    given = attributions if isinstance(attributions, Mapping) else {_name(attributions): attributions}
    require(orders >= 1, f"orders is {orders}: expected 1 or more")
    names = wanted(metrics, rationale is not None)
    present = np.asarray(question.present)
    guarded = marks("protected", protected, present)
    right = marks("rationale", rationale, present)
    counted = present & ~guarded
    require_removable(question, guarded, removal)
    require_parts(names, given, rationale is not None, others)
    methods = {row: _method(each) for row, each in given.items()}
    scores = {row: np.asarray(ask(question).scores, np.float64) for row, ask in methods.items()}
    for row, x in scores.items():
        require(x.shape == present.shape, f"{row} {list(x.shape)}: expected scores {list(present.shape)}")
        require(bool(np.isfinite(x[counted]).all()), f"{row}: it has scores that are not finite")

    by_row = {row: ranks_of(x, counted, seed)[None] for row, x in scores.items()}
    by_row[RANDOM] = random_ranks(orders, counted, seed)
    worst = np.empty((0, *present.shape), int)
    of_orders = [name for name in names if METRICS[name].of == "order"]
    if "naopc" in names or (of_orders and rationale is None):
        search = {"exact": exact, "beam": beam, "at_once": at_once}
        extremes = extreme_ranks(question, counted, removal, baseline, **search)
        by_row[BEST], worst = extremes[:1], extremes[1:]
    if rationale is not None:
        by_row[RATIONALE] = ranks_of(right.astype(float), counted, seed)[None]
        scores[RATIONALE] = right.astype(float)

    values: dict[str, Values] = {row: {} for row in by_row}
    spread: dict[str, float] = {}
    tests: dict[str, float] = {}
    if of_orders:
        measured = _of_orders(question, by_row, worst, counted, removal, baseline, at_once)
        for row, found in measured.items():
            for name in of_orders:
                if name != "sign_test":
                    values[row][name] = found[name].mean(0)
                elif row != RANDOM:
                    tests[row] = sign_test(found["aopc"][0], measured[RANDOM]["aopc"].mean(0))
        for name in set(of_orders) - {"sign_test"}:
            spread[name] = float(np.std([mean_of(x) for x in measured[RANDOM][name]]))
    for name in (name for name in names if METRICS[name].of == "scores"):
        judge = OF_SCORES[name]
        for row in by_row:
            # An order without scores is a map that falls with the rank.
            maps = [scores[row]] if row in scores else -by_row[row].astype(float)
            judged = np.array([[judge(*x) for x in zip(m, right, counted, strict=True)] for m in maps])
            values[row][name] = judged.mean(0)
            if row == RANDOM:
                spread[name] = float(np.std([mean_of(x) for x in judged]))
    _add_further(values, names, question, methods, others, seed)
    words = "by deletion" if removal == "delete" else f"by {_words(baseline)}"
    return Faithfulness(values, spread, tests, words)


def _of_orders(
    question: Question,
    by_row: Mapping[str, Any],
    worst: Any,
    counted: Bool[np.ndarray, "B T"],
    removal: Removal,
    baseline: Any,
    at_once: int,
) -> dict[str, dict[str, Float[np.ndarray, "M B"]]]:
    """Returns the metrics of all orders of each row."""
    ranks = np.concatenate([*by_row.values(), worst])
    removed, kept = curves(question, ranks, removal, baseline, at_once)
    counts = counted.sum(1)
    found = {name: metric(removed, kept, counts) for name, metric in OF_CURVES.items()}
    # The search may have missed an order that is further out.
    low, high = found["aopc"].min(0), found["aopc"].max(0)
    room = high - low
    share = (found["aopc"] - low) / np.where(room > 0, room, 1)
    found["naopc"] = np.where(room > 0, share, np.nan)
    ends = np.cumsum([len(each) for each in by_row.values()])
    parts = {name: np.split(x, ends) for name, x in found.items()}
    return {row: {name: x[i] for name, x in parts.items()} for i, row in enumerate(by_row)}


def _add_further(
    values: dict[str, Values],
    names: Sequence[str],
    question: Question,
    methods: Mapping[str, Callable[[Question], Attribution]],
    others: Sequence[Question],
    seed: int,
) -> None:
    """Adds the metrics of methods to their rows, and those of the model to its own."""
    of_methods: dict[str, Callable[..., Any]] = {
        "max_sensitivity": partial(stability.max_sensitivity, seed=seed),
        "model_randomisation": lambda asked, ask: stability.model_randomisation(asked, ask, seed)[-1],
        "seed_variance": lambda asked, ask: stability.seed_variance(asked, others, ask),
    }
    of_model: dict[str, Callable[[], Any]] = {
        "attention_permutation": lambda: controls.attention_permutation(question, seed=seed),
        "adversarial_attention": lambda: controls.adversarial_attention(question, seed=seed)[0],
        "uniform_attention": lambda: controls.uniform_attention(question),
    }
    for name in names:
        if name in of_methods:
            for row, ask in methods.items():
                values[row][name] = of_methods[name](question, ask)
        if name in of_model:
            values.setdefault(MODEL, {})[name] = of_model[name]()


def _method(given: Attributed) -> Callable[[Question], Attribution]:
    if isinstance(given, str):
        require(given in METHODS, f"attributions has {given!r}: there is no such method")
        return partial(attribute, given)
    return (lambda question: given) if isinstance(given, Attribution) else given


def _name(given: Attributed) -> str:
    if isinstance(given, str):
        return given
    return (given.method if isinstance(given, Attribution) else "") or "attribution"


def _words(baseline: Any) -> str:
    if baseline is None:
        return "vectors of 0"
    array = np.asarray(baseline)
    return f"token {array}" if array.ndim == 0 else f"a baseline {list(array.shape)}"
