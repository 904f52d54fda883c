"""Recognition: parts of data, the loss of soft labels by formula, the table, and where the model looks."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from attnjax.config import InputError
from attnjax.data.images.config import AugmentConfig, RecognitionData
from attnjax.data.images.recognition import recognition_parts
from attnjax.models.swin_config import SwinConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.nn import Capture
from attnjax.tasks.config import CrossEntropyConfig
from attnjax.tasks.recognition.task import RecognitionTask

MODEL = VisionConfig(dim=8, heads=2, hidden=8, layers=1, image=8, patch=4, implementation="reference")
LOSS = CrossEntropyConfig(label_smoothing=0.1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of 8 × 8 pixels in three kinds of grey; their first pixel is their number."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    images = (60 * labels[:, None, None] + rng.integers(0, 40, (40, 8, 8))).astype(np.uint8)
    images[:, 0, 0] = np.arange(40)
    path = tmp_path_factory.mktemp("images") / "grey.npz"
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def task(archive: Path) -> RecognitionTask:
    data = RecognitionData(path=archive, augment=AugmentConfig(crop=1), mixup=0.5)
    return RecognitionTask(data, MODEL, loss=LOSS, batch_size=4)


@pytest.fixture(scope="module")
def params(task: RecognitionTask):
    return jax.jit(task.init)(jax.random.key(0))


def test_parts_share_no_image_and_lose_none(archive: Path) -> None:
    parts = recognition_parts(RecognitionData(path=archive, holdout=0.1))
    numbers = [part.images[:, 0, 0, 0].tolist() for part in parts.values()]
    assert [len(part) for part in numbers] == [32, 4, 4]
    assert sorted(number for part in numbers for number in part) == list(range(40))
    few = recognition_parts(RecognitionData(path=archive, holdout=0.1, most=5))
    assert few["train"].images[:, 0, 0, 0].tolist() == numbers[0][:5]


def test_official_parts_of_folders_stay_as_they_are(tmp_path: Path) -> None:
    for part, value in (("train", 10), ("test", 20)):
        for label in ("cat", "dog"):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("L", (4, 4), value).save(folder / f"{number}.png")
    parts = recognition_parts(RecognitionData(path=tmp_path, side=2, channels=1))
    assert {name: set(part.images.ravel().tolist()) for name, part in parts.items()} == {
        "train": {10},
        "validation": {10},
        "test": {20},
    }
    assert parts["test"].labels.tolist() == [0, 0, 0, 1, 1, 1]
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "cow")
    with pytest.raises(InputError, match="train has the labels cat, dog, test cow, dog"):
        recognition_parts(RecognitionData(path=tmp_path))


def test_images_of_each_part_that_are_left_out_are_told_once(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("L", (4, 4)).save(folder / f"{number}.png")
        (tmp_path / part / "cat" / "1.png").write_text("no image")
    data = RecognitionData(path=tmp_path, side=8, leave_out_broken=True)
    _, *notes = RecognitionTask(data, MODEL, batch_size=2).notes
    assert len(notes) == 2
    for part, note in zip(("train", "test"), notes, strict=True):
        assert note.startswith(f"left out: 1 of 6 images cannot be used: {tmp_path / part}")


@pytest.mark.parametrize(
    ("side", "labels", "message"),
    [
        (8, [0, 2, 1], "t10k has the label 2, train has none above 1"),
        (6, [0, 0, 1], "images of t10k are 6 × 6 × 1, those of train 8 × 8 × 1"),
        (8, [0, 0, 0], None),
    ],
)
def test_an_official_test_is_like_what_is_trained_on(
    tmp_path: Path, side: int, labels: list[int], message: str | None
) -> None:
    for part, size, own in (("train", 8, [0, 1, 0, 1, 0]), ("t10k", side, labels)):
        arrays = {"images-idx3": np.zeros((len(own), size, size), np.uint8), "labels-idx1": np.uint8(own)}
        for name, array in arrays.items():
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (tmp_path / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
    if message is None:
        assert recognition_parts(RecognitionData(path=tmp_path))["test"].names == ("0", "1")
        return
    with pytest.raises(InputError, match=message):
        recognition_parts(RecognitionData(path=tmp_path))


def test_the_loss_is_the_cross_entropy_of_soft_labels(task: RecognitionTask, params) -> None:
    batch = task.batch(2)
    jax.tree.map(np.testing.assert_array_equal, batch, task.batch(2))
    assert any((batch["images"] != task.batch(step)["images"]).any() for step in (1, 3))
    np.testing.assert_allclose(batch["labels"].sum(1), 1, rtol=1e-6)
    assert ((batch["labels"] > 0) & (batch["labels"] < 1)).any()
    value, metrics = jax.jit(lambda p: task.loss(p, batch, dropout=None))(params)
    logits = np.asarray(jax.jit(task.model(params))(batch["images"]).logits, np.float64)
    log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = 0.9 * batch["labels"] + 0.1 / 3
    np.testing.assert_allclose(value, -(target * log_q).sum(-1).mean(), rtol=1e-5)
    assert metrics["weight"] == 4


def test_the_table_has_the_baselines_and_the_picture_what_the_class_token_sees(
    task: RecognitionTask, params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    evaluation = task.evaluate(params, tmp_path)
    assert list(evaluation.metrics) == ["model", "the commonest label"]
    test, train = task.parts["test"], task.parts["train"]
    common = np.bincount(train.labels).argmax()
    expected = 100 * np.mean(test.labels == common)
    assert evaluation.metrics["the commonest label"]["right %"] == pytest.approx(expected)
    assert [path.name for path in evaluation.figures] == ["looks.png"]
    seen = task._seen(params, test.images)
    right = 100 * np.mean(seen.logits.argmax(-1) == test.labels)
    assert evaluation.metrics["model"]["right %"] == pytest.approx(right)
    images = (test.images.astype(np.float32) / np.float32(255) - 0.5) * 4
    output = jax.jit(lambda x: task.model(params)(x, capture=Capture()))(images)
    expected = np.asarray(output.weights["blocks.0.attention"])[:, :, 0, 1:].mean(1)
    np.testing.assert_allclose(seen.looks, expected, rtol=1e-4)
    labels = task.predict(params, list(test.images[:2]))
    assert [one.text for one in labels] == [task.names[i] for i in seen.logits[:2].argmax(-1)]
    assert sum(labels[0].shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(MODEL, layers=0, stem="convolution", pooling="mean", class_token=False),
        SwinConfig(dim=8, depths=(1,), heads=(2,), window=2, image=8, patch=4, hidden_ratio=1.0),
    ],
)
def test_convolutions_and_windows_label_images_without_a_picture(
    archive: Path, tmp_path: Path, config
) -> None:
    task = RecognitionTask(RecognitionData(path=archive), config, batch_size=4)
    evaluation = task.evaluate(jax.jit(task.init)(jax.random.key(0)), tmp_path)
    assert evaluation.figures == []
    assert 0 <= evaluation.metrics["model"]["right %"] <= 100


def test_what_does_not_fit_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for call, message in (
        (
            lambda: recognition_parts(RecognitionData()),
            "scikit-learn's, which cannot be imported .*: `pip install",
        ),
        (
            lambda: recognition_parts(RecognitionData(path=Path("/none"))),
            "data.path is '/none': there is noth",
        ),
        (lambda: RecognitionData(channels=2), "data.channels is 2: it must be 1 or 3"),
        (lambda: RecognitionData(mixup=-1.0), "data.mixup is -1.0"),
        (
            lambda: RecognitionTask(
                RecognitionData(path=archive), dataclasses.replace(MODEL, patch=3, image=9), batch_size=4
            ),
            r"model.patch is 3: it must divide model.image \(8\)",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()
