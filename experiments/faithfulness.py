"""Which map finds the tokens that are known to decide, and does any beat a random order?

    attnjax run faithfulness --model.mechanism linear
    attnjax sweep faithful_maps
    attnjax report faithful_maps
    attnjax run remove_and_retrain --order raw --removed 0.5
    attnjax sweep roar
    attnjax report roar

A small encoder learns to label sequences whose deciding tokens are planted: sentences with an opinion in one
of their clauses, which may be negated there ("the film was not loud and the plot was never dull"), or letters
with two digits among them, whose classes are the same or not. Then the attributions that fit the model score
the tokens of sequences that it labels right, and the final table has a row for each: the average precision
beside the planted rationale (auprc), whether the top token is in it (pointing_game), and what the probability
of the label does when tokens are removed in that order (comprehensiveness, sufficiency, naopc, …). Removed
tokens become the mask token, which stood for one in ten of training. Methods explain the difference of the
two logits; the class token is never removed. Below them are the rows of random orders, of the best order that
the model has, and of the rationale itself.

Expect occlusion, integrated gradients and KernelSHAP to be far above a random order, attention too but with
a wide spread over seeds, and gradient × input at a random order. A run takes about a minute on two CPU cores,
most of which compiles the methods once for all trials of one shape; the sweep 10 minutes: an estimate, which
`--dry-run` replaces by a measurement on your machine.

`roar` asks the same by training anew (ROAR, "remove and retrain"): the model of `faithfulness` is trained,
an attribution of it ranks the tokens of each sequence, of training and test alike, the first of them become
the mask token, and a fresh model learns what is left. The order whose removal costs most accuracy names the
tokens that count, however the first model would have read a sequence with holes. Beside the methods are a
random order and that of the planted rationale.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnjax.config import InputError, require, require_seed, traced, traced_fields
from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.experiment.registry import experiment
from attnjax.models.encoder_config import EncoderConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.explain.faithfulness import RetrainedTask
    from attnjax.tasks.planted import PlantedTask

MODEL = EncoderConfig(dim=32, heads=2, hidden=64, layers=2, head="labels", max_length=64)
TRAIN = TrainConfig(
    steps=400, batch_size=64, checkpoint_every=200, warmup_steps=50, learning_rate=3e-3, dropout=0.0
)
SEEDS = range(3)
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"model.mechanism": "window(size=4)"},
    {"model.mechanism": "linear"},
    {"train.dropout": 0.3},
    {"model.layers": 1},
    {"model.layers": 4},
)
METRICS = (
    *("auprc", "pointing_game", "comprehensiveness", "sufficiency", "deletion_auc", "insertion_auc"),
    *("naopc", "sign_test"),
)
CONTROLS = ("attention_permutation", "uniform_attention")
OPTIONS: dict[str, dict[str, Any]] = {
    "raw": {},
    "rollout": {},
    "chefer": {},
    "norm_weighted": {},
    "value_zeroing": {},
    "gradient_x_input": {},
    "integrated_gradients": {"steps": 16, "baseline": True},
    "occlusion": {"baseline": True},
    "kernel_shap": {"samples": 128, "baseline": True},
}
"""The methods that are asked, with their options; a baseline that is True is the mask token."""
RANDOM, RATIONALE = "random", "rationale"
"""Orders beside those of methods."""
REMOVED = (0.1, 0.3, 0.5)
AT_A_TIME = 256
"""Sequences that a method ranks together."""


@experiment
@dataclass(frozen=True)
class Faithfulness:
    """Label sequences with planted rationales, and measure attributions of the model."""

    model: EncoderConfig = MODEL
    data: PlantedData = PlantedData(clauses=2, length=12)
    train: TrainConfig = TRAIN
    examples: int = 32
    """Sequences of the test, all of which the model labels right, that are explained."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.model.head == "labels", f"model.head is {self.model.head!r}: it must be 'labels'")
        require(self.examples >= 1, f"examples is {self.examples}: it must be 1 or more")

    def task(self, folder: Path | None = None) -> "PlantedTask":
        from attnjax.data.synthetic.planted import make_planted
        from attnjax.tasks.planted import PlantedTask

        return PlantedTask(
            make_planted(self.data),
            self.model,
            batch_size=self.train.batch_size,
            account=partial(measured, examples=self.examples),
        )


def measured(model: Any, test: Any, *, examples: int) -> dict[str, dict[str, float]]:
    """Returns the table of the methods that fit the model, on test sequences that it labels right."""
    import jax.numpy as jnp
    import numpy as np

    from attnjax.data.synthetic.planted import MASK, START
    from attnjax.explain import Target, ask
    from attnjax.explain.faithfulness import faithfulness

    tokens, lengths = jnp.asarray(test["tokens"]), jnp.asarray(test["lengths"])
    every = ask(model, tokens, lengths=lengths)
    right = np.flatnonzero(np.asarray(every.target.index) == test["labels"])[:examples]
    if not len(right):
        return {}
    labels = test["labels"][right]
    question = ask(model, tokens[right], lengths=lengths[right], target=Target(labels, "probability"))
    margin = Target(labels, against=jnp.asarray(1 - labels))
    found = faithfulness(
        question,
        _maps(question.with_target(margin)),
        (*METRICS, *CONTROLS),
        rationale=test["rationale"][right],
        protected=test["tokens"][right] == START,
        baseline=jnp.int32(MASK),
        beam=3,
    )
    spread = {f"{name} sd": value for name, value in found.spread.items()}
    table = found.table
    table["random order"] |= spread
    return table


def _maps(question: Any) -> dict[str, Any]:
    """Returns the attributions of the methods that fit."""
    found = {}
    for name in OPTIONS:
        try:
            found[name] = _map(name, question)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    return found


def _map(name: str, question: Any) -> Any:
    from attnjax.data.synthetic.planted import MASK
    from attnjax.explain import attribute

    given = {key: MASK if key == "baseline" else value for key, value in OPTIONS[name].items()}
    return attribute(name, question, **given)


@experiment(name="remove_and_retrain")
@dataclass(frozen=True)
class Roar:
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
    """Seed of the model whose attributions rank the tokens: that of `faithfulness`, trained for as long."""
    seed: int = 0
    """Decides the initial parameters and the dropout of the model that is trained anew."""

    def __post_init__(self) -> None:
        require(self.model.head == "labels", f"model.head is {self.model.head!r}: it must be 'labels'")
        orders = (*OPTIONS, RANDOM, RATIONALE)
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
        asked = (
            None if self.order in (RANDOM, RATIONALE) else _ranker(self.model, self.data, train, self.ranker)
        )
        return RetrainedTask(
            _ranked(self.order, asked, self.data, self.examples),
            self.model,
            vocab=make_planted(self.data).vocab,
            batch_size=self.train.batch_size,
            removed=self.removed,
            removal=self.removal,
            baseline=MASK,
            seed=self.data.seed,
        )


@functools.lru_cache(maxsize=4)
def _ranker(model: EncoderConfig, data: PlantedData, train: TrainConfig, seed: int) -> Any:
    """Returns the trained model of `faithfulness`."""
    from tempfile import TemporaryDirectory

    from attnjax.train.loop import fit

    task = Faithfulness(model=model, data=data, train=train).task()
    with TemporaryDirectory() as folder:
        fitted = fit(task, train, seed=seed, folder=Path(folder), observers=())
    if fitted.interrupted:
        raise KeyboardInterrupt
    return task.model(fitted.params)


def _ranked(order: str, model: Any, data: PlantedData, examples: int) -> dict[str, dict[str, Any]]:
    """Returns the sequences of training, validation and test with the ranks of their tokens."""
    import numpy as np

    from attnjax.data.synthetic.planted import START, make_planted
    from attnjax.data.synthetic.questions import Split, stream
    from attnjax.explain.faithfulness import ranks_of

    source, parts = make_planted(data), {}
    counts = {
        Split.TRAIN: examples,
        Split.VALIDATION: data.evaluation_examples,
        Split.TEST: data.evaluation_examples,
    }
    for part, count in counts.items():
        made = source.rows(count, stream(data.seed, part))
        there = np.arange(made["tokens"].shape[1]) < made["lengths"][:, None]
        if order == RATIONALE:
            scores = made["rationale"].astype(float)
        elif order == RANDOM:
            scores = np.zeros(there.shape)  # All ties.
        else:
            scores = _scores(order, model, made)
        ranks = ranks_of(scores, there & (made["tokens"] != START), seed=data.seed + part)
        parts[part.name.lower()] = made | {"ranks": ranks.astype(np.int32)}
    return parts


def _scores(order: str, model: Any, made: Any) -> Any:
    """Returns the scores of a method for the label that the model predicts, and against the other."""
    import jax.numpy as jnp
    import numpy as np

    from attnjax.explain import Target, ask

    found = []
    for start in range(0, len(made["labels"]), AT_A_TIME):
        rows = slice(start, start + AT_A_TIME)
        tokens, lengths = (jnp.asarray(made[name][rows]) for name in ("tokens", "lengths"))
        question = ask(model, tokens, lengths=lengths)
        told = question.target.index
        found.append(_map(order, question.with_target(Target(told, against=1 - told))).scores)
    return np.concatenate(found)


@sweep(Faithfulness, metric="integrated_gradients/auprc", mode="max")
def faithful_maps() -> Iterator[dict[str, Any]]:
    """Which map finds the planted rationale, by mechanism, dropout and depth?

    2 sources × 6 settings × 3 seeds, 400 steps.
    """
    for source in ("sentiment", "causes"):
        for setting in SETTINGS:
            for seed in SEEDS:
                yield {"data.source": source, **setting, "seed": seed}


@sweep(Roar, metric="test/right %", mode="min")
def roar() -> Iterator[dict[str, Any]]:
    """Without the first tokens of which order can the label no longer be learned?

    6 orders × 3 shares × 3 seeds and nothing removed, 400 steps; the shares and seeds of an order are a pack.
    """
    for seed in SEEDS:
        yield {"order": RANDOM, "removed": 0.0, "seed": seed}
    for order in (RANDOM, "gradient_x_input", "raw", "integrated_gradients", "occlusion", RATIONALE):
        for removed in REMOVED:
            for seed in SEEDS:
                yield {"order": order, "removed": removed, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
