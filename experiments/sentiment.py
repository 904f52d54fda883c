"""Does attention from scratch tell good films from bad ones better than words alone, and by which words?

    attnjax data fetch film                        # once: the sentences, 2.5 MB
    attnjax run sentiment
    attnjax run sentiment --model.pooling mean
    attnjax run sentiment --data.train mine.csv --data.text_column review --data.label_column stars
    attnjax run sentiment --data.train reviews/    # a folder for each label, with .txt files
    attnjax predict RUN "a film to remember"
    attnjax run negation
    attnjax sweep sentiment_sizes

An encoder of pieces of words, learned from the sentences of training, pools its tokens by attention (Lin et
al., 2017). `sentiment` reads 10,566 sentences of film reviews (vaderSentiment; Hutto & Gilbert, 2014), whose
label is the sign of their mean human rating; or texts of your own: TSV, CSV, Parquet, JSON lines, folders.
`negation` reads sentences of a grammar in which one clause has an opinion, which may be negated there; which
words decide is known, and the best possible score is 100 %.

The final table has accuracy, macro F1 and the calibration error of test texts and of two baselines without
attention, the commonest label and TF-IDF of words and pairs with a logistic regression. Below them are orders
of words: what the probability of the label loses as words are masked in that order, and, of negation,
how well the order finds the words that decide (AUPRC).

Expect TF-IDF to win on the film sentences, which are few, and attention on negation.
`docs/guides/sentiment.md` has measured numbers; `finetune` begins with a pretrained encoder.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require, user_cache
from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.data.text.labelled_config import LabelledData
from attnjax.experiment.registry import experiment
from attnjax.models.encoder_config import EncoderConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.planted import PlantedTask
    from attnjax.tasks.texts.task import TextTask

FILM = user_cache() / "corpora" / "film.tsv"
METHODS: dict[str, dict[str, Any]] = {
    "raw": {},
    "rollout": {},
    "gradient_x_input": {},
    "integrated_gradients": {"steps": 16, "baseline": True},
}
"""Attributions, with their options; a baseline that is True is the mask token."""
LONGEST = 24
"""Tokens of a text that is explained: the search for the best order grows with their square."""
DRAWN = 4
"""Texts in the picture."""
TOLD = 4096
"""Sentences of the grammar that its baselines learn from."""
SEEDS = range(3)


@experiment
@dataclass(frozen=True)
class Sentiment:
    """Labels of texts by an encoder from scratch: whether a film was liked, or labels of your own."""

    model: EncoderConfig = EncoderConfig(
        dim=64, heads=4, layers=1, hidden=128, max_length=64, pooling="self_attentive_pooling"
    )
    data: LabelledData = LabelledData(train=FILM, vocab_size=4000, masked=0.15)
    train: TrainConfig = TrainConfig(
        steps=600,
        batch_size=64,
        log_every=50,
        checkpoint_every=100,
        warmup_steps=60,
        learning_rate=1e-3,
        weight_decay=0.1,
        dropout=0.3,
    )
    explained: int = 32
    """Texts of the test, of up to 24 tokens, whose label is explained, for rows of attributions; 0: none."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.explained >= 0, f"explained is {self.explained}: it must be 0 or more")

    def task(self, folder: Path | None = None) -> "TextTask":
        from attnjax.tasks.texts.task import TextTask

        return TextTask(
            self.data,
            self.model,
            batch_size=self.train.batch_size,
            source=self.train.init_from,
            folder=folder,
            account=partial(attributed, count=self.explained) if self.explained else None,
        )


@experiment(name="negation")
@dataclass(frozen=True)
class Negation:
    """Labels of sentences of a grammar with negation, in which the words that decide are known."""

    model: EncoderConfig = EncoderConfig(
        dim=32, heads=2, hidden=64, layers=2, head="labels", max_length=64, pooling="self_attentive_pooling"
    )
    data: PlantedData = PlantedData()
    train: TrainConfig = TrainConfig(
        steps=600,
        batch_size=64,
        log_every=50,
        checkpoint_every=200,
        warmup_steps=50,
        learning_rate=3e-3,
        dropout=0.0,
    )
    explained: int = 32
    """Sentences of the test whose label is explained."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.model.head == "labels", f"model.head is {self.model.head!r}: it must be 'labels'")
        require(
            self.data.source == "sentiment", f"data.source is {self.data.source!r}: it must be 'sentiment'"
        )
        require(self.explained >= 1, f"explained is {self.explained}: it must be 1 or more")

    def task(self, folder: Path | None = None) -> "PlantedTask":
        from attnjax.data.synthetic.planted import make_planted
        from attnjax.tasks.planted import PlantedTask

        source = make_planted(self.data)
        account = partial(planted, source=source, count=self.explained)
        return PlantedTask(source, self.model, batch_size=self.train.batch_size, account=account)


def attributed(model: Any, test: Any, tokenizer: Any, *, count: int) -> Any:
    """Returns how faithful attributions of the label are, and the first texts with what their words count."""
    import numpy as np

    from attnjax.data.text.tokenizer import MASK
    from attnjax.tasks.texts.task import Account

    places = np.flatnonzero((test["lengths"] <= LONGEST) & (test["lengths"] > 3))[:count]
    if not len(places):
        return Account({})
    chosen = {name: values[places] for name, values in test.items()}
    chosen["tokens"] = chosen["tokens"][:, :LONGEST]
    protected = np.isin(chosen["tokens"], tokenizer.marks)
    rows, maps = _orders(model, chosen, protected, tokenizer.id(MASK))
    scores = maps["integrated_gradients"].scores if "integrated_gradients" in maps else ()
    drawn = []
    for row, own in enumerate(np.asarray(scores)[:DRAWN]):
        shown = np.flatnonzero((np.arange(len(own)) < chosen["lengths"][row]) & ~protected[row])
        names = tokenizer.names(chosen["tokens"][row][shown].tolist())
        drawn.append([(name.strip(), float(own[place])) for name, place in zip(names, shown, strict=True)])
    return Account(rows, drawn)


def planted(model: Any, test: Any, *, source: Any, count: int) -> dict[str, dict[str, float]]:
    """Returns the rows of baselines, and of how faithful attributions are and what they find."""

    from attnjax.data.synthetic.planted import MASK, START
    from attnjax.data.synthetic.questions import Split, stream
    from attnjax.tasks.texts.baselines import text_baselines
    from attnjax.tasks.texts.scores import shares_score

    train = source.rows(TOLD, stream(source.config.seed, Split.TRAIN, 0))
    parts = {"train": train, "test": test}
    texts = {
        name: [
            " ".join(map(source.word, row[1:length]))
            for row, length in zip(part["tokens"], part["lengths"], strict=True)
        ]
        for name, part in parts.items()
    }
    labels = {name: part["labels"] for name, part in parts.items()}
    given = text_baselines(texts, labels, classes=True)
    rows = {name: shares_score(labels["test"], shares) for name, shares in given.items()}
    rows["the best possible"] = {"right %": 100.0}
    chosen = {name: values[:count] for name, values in test.items()}
    found, _ = _orders(model, chosen, chosen["tokens"] == START, MASK, chosen["rationale"])
    return rows | found


def _orders(
    model: Any, test: Any, protected: Any, mask: int | None, rationale: Any = None
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Returns rows of the methods that fit the model, and their attributions.

    The mask stands for a removed word.
    """
    import jax.numpy as jnp

    from attnjax.config import InputError
    from attnjax.explain import Attribution, Target, ask, attribute
    from attnjax.explain.faithfulness import faithfulness
    from attnjax.nn import Capture

    tokens, lengths = jnp.asarray(test["tokens"]), jnp.asarray(test["lengths"])
    question = ask(model, tokens, lengths=lengths)
    maps: dict[str, Any] = {}
    weights = model(tokens, lengths=lengths, capture=Capture()).weights
    if "pool" in weights:
        maps["pooling"] = Attribution(weights["pool"].mean((1, 2)), question.present)
    for name, options in METHODS.items():
        given = {key: mask if key == "baseline" else value for key, value in options.items()}
        try:
            maps[name] = attribute(name, question, **given)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    found = faithfulness(
        question.with_target(Target(of="probability")),
        maps,
        ("comprehensiveness", "sufficiency", *(() if rationale is None else ("auprc",))),
        rationale=rationale,
        protected=protected,
        baseline=None if mask is None else jnp.int32(mask),
        orders=5,
        beam=1,
    )
    return {f"order by {row}" if row in maps else row: own for row, own in found.table.items()}, maps


@sweep(
    Sentiment,
    metric="test/right %",
    mode="max",
    base={"train.steps": 300, "train.warmup_steps": 30, "train.checkpoint_every": 100, "explained": 0},
)
def sentiment_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides how many film sentences are told right from few of them?

    2 × 2 × 2 settings with 3 seeds, 300 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (2, 8),
        "model.dim": (32, 64),
        "train.dropout": (0.1, 0.4),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
