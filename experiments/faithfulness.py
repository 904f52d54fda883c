"""Which map finds the tokens that are known to decide, and does any beat a random order?

    attnjax run faithfulness --model.mechanism linear
    attnjax sweep faithful_maps
    attnjax report faithful_maps

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
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, require
from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.experiment.registry import experiment
from attnjax.models.encoder_config import EncoderConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
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
    from attnjax.data.synthetic.planted import MASK
    from attnjax.explain import attribute

    found = {}
    for name, options in OPTIONS.items():
        given = {key: MASK if key == "baseline" else value for key, value in options.items()}
        try:
            found[name] = attribute(name, question, **given)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    return found


@sweep(Faithfulness, metric="integrated_gradients/auprc", mode="max")
def faithful_maps() -> Iterator[dict[str, Any]]:
    """Which map finds the planted rationale, by mechanism, dropout and depth?

    2 sources × 6 settings × 3 seeds, 400 steps.
    """
    for source in ("sentiment", "causes"):
        for setting in SETTINGS:
            for seed in SEEDS:
                yield {"data.source": source, **setting, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
