"""What a step learns from does not depend on the number of hosts: their rows together are the batch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.hosts import host_rows
from attnjax.data.images.config import AugmentConfig, CaptionData, RecognitionData
from attnjax.data.text.config import TranslationData
from attnjax.data.text.noise_config import NoiseConfig
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.config import TransformerConfig
from attnjax.models.recommender_config import RecommenderConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.tasks.captioning.config import CaptionLossConfig
from attnjax.tasks.captioning.task import CaptioningTask
from attnjax.tasks.recognition.task import RecognitionTask
from attnjax.tasks.recommendation.task import RecommendationTask
from attnjax.tasks.translation.config import TranslationLoss
from attnjax.tasks.translation.task import TranslationTask
from tests.tasks.recommendation.test_task import DATA as LOG

SIZE = 8
AUGMENT = AugmentConfig(crop=1, flip=0.5, colour=0.2, cutout=0.3)
SMALL = {"dim": 8, "heads": 2, "hidden": 8, "implementation": "reference"}


def recognition(folder: Path, mixup: float) -> RecognitionTask:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8)).astype(np.uint8)
    np.savez(folder / "images.npz", images=images, labels=rng.integers(0, 3, 40))
    data = RecognitionData(path=folder / "images.npz", augment=AUGMENT, mixup=mixup)
    return RecognitionTask(data, VisionConfig(**SMALL, layers=1, image=8, patch=4), batch_size=SIZE)


def captioning(folder: Path) -> CaptioningTask:
    config = CaptionerConfig(**SMALL, encoder_layers=1, decoder_layers=1, patch=20)
    data = CaptionData(kind="digits", examples=24, evaluation_examples=6, augment=AUGMENT)
    return CaptioningTask(data, config, loss=CaptionLossConfig(), batch_size=SIZE)


def recommendation(causal: bool) -> RecommendationTask:
    config = RecommenderConfig(**SMALL, layers=1, positions="learned", max_length=8, causal=causal)
    return RecommendationTask(LOG, config, batch_size=SIZE)


def translation(folder: Path, **data) -> TranslationTask:
    corpus = folder / "corpus.tsv"
    corpus.write_text("".join(f"the {n} words of {n}\tdie {n} von {n + 1}\n" for n in range(60)))
    settings = TranslationData(train=corpus, **data)
    config = TransformerConfig(**SMALL, encoder_layers=1, decoder_layers=1)
    return TranslationTask(settings, config, loss=TranslationLoss(), batch_size=SIZE)


NOISE = NoiseConfig(tokendrop=1.0, tokenmask=1.0, switchout=1.0)
TASKS: dict[str, Callable[[Path], object]] = {
    "images": lambda folder: recognition(folder, 0.0),
    "mixed images": lambda folder: recognition(folder, 0.5),
    "captions": captioning,
    "causal histories": lambda folder: recommendation(causal=True),
    "masked histories": lambda folder: recommendation(causal=False),
    "noise": lambda folder: translation(folder, word_dropout=0.3, noise=NOISE),
    "pieces": lambda folder: translation(folder, tokenizer="bpe", vocab_size=40, bpe_dropout=0.3),
    "buckets": lambda folder: translation(folder, word_dropout=0.3, buckets=2),
}


def of_each_host(patch: pytest.MonkeyPatch, hosts: int) -> Iterator[int]:
    """This process as each of so many hosts."""
    for host in range(hosts):
        with patch.context() as changed:
            changed.setattr(jax, "process_count", lambda: hosts)
            changed.setattr(jax, "process_index", lambda host=host: host)
            yield host


@pytest.mark.parametrize("made", TASKS)
def test_hosts_share_the_batch_of_one(made, tmp_path, monkeypatch):
    whole = TASKS[made](tmp_path).batch(3)
    for hosts in (2, 4):
        parts = [TASKS[made](tmp_path).batch(3) for _ in of_each_host(monkeypatch, hosts)]
        assert all(len(own) == SIZE // hosts for part in parts for own in part.values())
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array, name)


def test_a_batch_that_hosts_cannot_share_is_refused(monkeypatch):
    for _ in of_each_host(monkeypatch, 3):
        with pytest.raises(InputError, match="batch_size is 8: it must be a positive multiple of 3 hosts"):
            host_rows(SIZE)
