"""Faithfulness: whether an attribution says what the model does, measured.

    from attnjax.explain.faithfulness import METRICS, faithfulness

    found = faithfulness(question, {"raw": "raw", "ig": "integrated_gradients"}, baseline=mask_id)
    print(found)        # a row for each map, beside a random order and the best one that is known
    found.table["ig"]["naopc"]

`METRICS` is the table of all metrics with their papers and which way is better.
"""

from attnjax.explain.faithfulness.controls import (
    adversarial_attention,
    attention_permutation,
    uniform_attention,
)
from attnjax.explain.faithfulness.measure import faithfulness
from attnjax.explain.faithfulness.metrics import METRICS, Metric
from attnjax.explain.faithfulness.orders import curves, extreme_ranks, ranks_of
from attnjax.explain.faithfulness.removal import removed_values
from attnjax.explain.faithfulness.retraining import RetrainedTask, without_first
from attnjax.explain.faithfulness.stability import (
    max_sensitivity,
    model_randomisation,
    rank_stability,
    seed_variance,
)
from attnjax.explain.faithfulness.table import Faithfulness

__all__ = [
    "METRICS",
    "Faithfulness",
    "Metric",
    "RetrainedTask",
    "adversarial_attention",
    "attention_permutation",
    "curves",
    "extreme_ranks",
    "faithfulness",
    "max_sensitivity",
    "model_randomisation",
    "rank_stability",
    "ranks_of",
    "removed_values",
    "seed_variance",
    "uniform_attention",
    "without_first",
]
