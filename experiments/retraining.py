"""Without the tokens that which map names first can a label no longer be learned?

    attnjax sweep roar
    attnjax report roar
    attnjax run remove_and_retrain --order raw --removed 0.5
    attnjax run remove_and_retrain --data.source causes --removal delete

ROAR, "remove and retrain" (Hooker et al., 2019): a small encoder is trained on sequences whose deciding
tokens are planted, as in `faithfulness`; an attribution of it ranks the tokens of each sequence, of training
and test alike; the first of them become the mask token, or go; and a fresh model learns what is left. The
final table has its percentage of right labels and that of the commonest label. The order whose removal costs
most accuracy names the tokens that count, however the first model would have read a sequence with holes.
Beside methods of attribution there are a random order and that of the planted rationale.

Expect the rationale to leave a guess, and a random order most of what can be known.
`docs/guides/faithfulness.md` has measured numbers.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnjax.config import require, require_seed, traced, traced_fields
from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.experiment.registry import experiment
from attnjax.models.encoder_config import EncoderConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.explain.faithfulness import RetrainedTask

MODEL = EncoderConfig(dim=32, heads=2, hidden=64, layers=2, head="labels", max_length=64)
TRAIN = TrainConfig(
    steps=400, batch_size=64, checkpoint_every=200, warmup_steps=50, learning_rate=3e-3, dropout=0.0
)
RANDOM, RATIONALE = "random", "rationale"
METHODS: dict[str, dict[str, Any]] = {
    "raw": {},
    "rollout": {},
    "chefer": {},
    "norm_weighted": {},
    "gradient_x_input": {},
    "integrated_gradients": {"steps": 16, "baseline": True},
    "occlusion": {"baseline": True},
}
"""The methods that may rank, with their options; a baseline that is True is the mask token."""
ORDERS = (RANDOM, RATIONALE, "raw", "gradient_x_input", "integrated_gradients", "occlusion")
REMOVED = (0.1, 0.3)
SEEDS = range(3)
AT_A_TIME = 256
"""Sequences that a method ranks together."""


@experiment(name="remove_and_retrain")
@dataclass(frozen=True)
class RemoveAndRetrain:
    """Label sequences anew without the tokens that an order names first."""

    model: EncoderConfig = MODEL
    data: PlantedData = PlantedData(clauses=2, length=12)
    train: TrainConfig = TRAIN
    order: str = "integrated_gradients"
    """A method of attribution, or "random", or "rationale", the tokens that are known to decide."""
    removed: float = traced(0.3)
    """The share of the tokens of each sequence that is removed, in training and in tests."""
    removal: Literal["replace", "delete"] = "replace"
    """Removed tokens become the mask token, or the others move together."""
    examples: int = 4096
    """Sequences of training."""
    ranker: int = 0
    """Seed of the model whose attributions rank the tokens, which is trained for as many steps."""
    seed: int = 0
    """Decides the initial parameters and the dropout of the model that is trained anew."""

    def __post_init__(self) -> None:
        require(self.model.head == "labels", f"model.head is {self.model.head!r}: it must be 'labels'")
        orders = (*METHODS, RANDOM, RATIONALE)
        require(self.order in orders, f"order is {self.order!r}: it must be one of {', '.join(orders)}")
        share = isinstance(self.removed, int | float) and 0 <= self.removed <= 1
        require(share, f"removed is {self.removed!r}: it must be a share in [0, 1]")
        require(self.examples >= 1, f"examples is {self.examples}: it must be 1 or more")
        require_seed("ranker", self.ranker)

    def task(self, folder: Path | None = None) -> "RetrainedTask":
        from attnjax.data.synthetic.planted import MASK, make_planted
        from attnjax.explain.faithfulness import RetrainedTask

        # Trials that differ in traced fields share a task, and with it the model that ranks.
        train = replace(self.train, **traced_fields(TRAIN))
        known = self.order in (RANDOM, RATIONALE)
        asked = None if known else ranker(self.model, self.data, train, self.ranker)
        return RetrainedTask(
            ranked(self.order, asked, self.data, self.examples),
            self.model,
            vocab=make_planted(self.data).vocab,
            batch_size=self.train.batch_size,
            removed=self.removed,
            removal=self.removal,
            baseline=MASK,
            seed=self.data.seed,
        )


@functools.lru_cache(maxsize=4)
def ranker(model: EncoderConfig, data: PlantedData, train: TrainConfig, seed: int) -> Any:
    """Returns the model that ranks, trained on sequences of which one token in ten is the mask token."""
    from tempfile import TemporaryDirectory

    from attnjax.data.synthetic.planted import make_planted
    from attnjax.runs.exit_codes import Terminated
    from attnjax.tasks.planted import PlantedTask
    from attnjax.train.loop import fit

    task = PlantedTask(make_planted(data), model, batch_size=train.batch_size)
    with TemporaryDirectory() as folder:
        fitted = fit(task, train, seed=seed, folder=Path(folder), observers=())
    if fitted.interrupted:
        raise Terminated  # Ctrl-C raises by itself.
    return task.model(fitted.params)


def ranked(order: str, model: Any, data: PlantedData, examples: int) -> dict[str, dict[str, Any]]:
    """Returns the sequences of training, validation and test with the ranks of their tokens."""
    import numpy as np

    from attnjax.data.synthetic.planted import START, make_planted
    from attnjax.data.synthetic.questions import Split, stream
    from attnjax.explain.faithfulness import ranks_of

    source, parts = make_planted(data), {}
    for part in Split:
        count = examples if part is Split.TRAIN else data.evaluation_examples
        made = source.rows(count, stream(data.seed, part))
        there = np.arange(made["tokens"].shape[1]) < made["lengths"][:, None]
        if order == RATIONALE:
            scores = made["rationale"].astype(float)
        elif order == RANDOM:
            scores = np.zeros(there.shape)  # All ties.
        else:
            scores = scores_of(order, model, made)
        ranks = ranks_of(scores, there & (made["tokens"] != START), seed=data.seed + part)
        parts[part.name.lower()] = made | {"ranks": ranks.astype(np.int32)}
    return parts


def scores_of(order: str, model: Any, made: Any) -> Any:
    """Returns the scores of a method for the label that the model predicts, and against the other."""
    import jax.numpy as jnp
    import numpy as np

    from attnjax.data.synthetic.planted import MASK
    from attnjax.explain import Target, ask, attribute

    options = {name: MASK if name == "baseline" else value for name, value in METHODS[order].items()}
    found = []
    for start in range(0, len(made["labels"]), AT_A_TIME):
        rows = slice(start, start + AT_A_TIME)
        tokens, lengths = (jnp.asarray(made[name][rows]) for name in ("tokens", "lengths"))
        question = ask(model, tokens, lengths=lengths)
        told = question.target.index
        question = question.with_target(Target(told, against=1 - told))
        found.append(attribute(order, question, **options).scores)
    return np.concatenate(found)


@sweep(RemoveAndRetrain, metric="test/right %", mode="min")
def roar() -> Iterator[dict[str, Any]]:
    """Without the first tokens of which order can the label no longer be learned?

    6 orders × 2 shares × 3 seeds and nothing removed, 400 steps; the shares and seeds of an order are a pack.
    """
    for seed in SEEDS:
        yield {"order": RANDOM, "removed": 0.0, "seed": seed}
    for order in ORDERS:
        for removed in REMOVED:
            for seed in SEEDS:
                yield {"order": order, "removed": removed, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
