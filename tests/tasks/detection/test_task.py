"""Detection: that it learns more than the mean box, its table and its picture, answers to files."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from attnjax.config import InputError
from attnjax.data.images.canvases import HELD_OUT
from attnjax.data.images.config import DetectionData
from attnjax.data.images.objects import Objects
from attnjax.models.detr_config import DetrConfig, ResNetConfig
from attnjax.tasks.detection import task as detection
from attnjax.tasks.detection.answers import mean_boxes, scores_of
from attnjax.tasks.detection.config import SetLossConfig
from attnjax.tasks.detection.looks import cell_shares, cells_showing, hidden, looks_score
from attnjax.tasks.detection.losses import TrueObjects, matched, set_loss
from attnjax.tasks.detection.task import DetectionTask
from attnjax.tasks.metrics.detection import Boxes

MODEL = DetrConfig(
    ResNetConfig(stem=8, widths=(16,), depths=(1,), bottleneck=False),
    dim=32, heads=2, hidden=32, encoder_layers=1, decoder_layers=2, queries=4,
)  # fmt: skip
DATA = DetectionData(side=24, objects=1, evaluation_examples=32)


@pytest.fixture(scope="module")
def task() -> DetectionTask:
    return DetectionTask(DATA, MODEL, baseline_steps=4, batch_size=16)


@pytest.fixture(scope="module")
def params(task: DetectionTask) -> Any:
    return jax.jit(task.init)(jax.random.key(0))


def trained(task: DetectionTask, params: Any, steps: int) -> tuple[Any, list[float]]:
    """The parameters after some steps, and the loss of each."""
    optimizer = optax.adam(optax.warmup_cosine_decay_schedule(0, 2e-3, 20, steps))

    @jax.jit
    def train(params: Any, state: Any, batch: Any) -> Any:
        loss, gradient = jax.value_and_grad(lambda p: task.loss(p, batch, dropout=None)[0])(params)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, change), state, loss

    state, losses = optimizer.init(params), []
    for step in range(steps):
        params, state, loss = train(params, state, task.batch(step))
        losses.append(float(loss))
    return params, losses


def test_its_loss_is_the_sum_over_what_each_layer_answers(task: DetectionTask) -> None:
    batch = task.batch(3)
    states = np.random.default_rng(0).normal(size=(2, 16, 4, task.config.labels + 5)).astype(np.float32)

    class Known:
        """Answers with what it was given, whatever it sees."""

        def __call__(self, images: Any, *, dropout: Any, capture: Any) -> Any:
            assert images.shape[0] == 16
            return SimpleNamespace(taps={f"decoder.{i}.residual": x for i, x in enumerate(states)})

        def decoder_norm(self, x: Any) -> Any:
            return 2 * x

        def answers(self, x: Any) -> Any:
            return x[..., :-4], jax.nn.sigmoid(x[..., -4:])

    @jax.jit
    def found() -> Any:
        truth = TrueObjects(batch["labels"], batch["boxes"], batch["present"])
        config, own = SetLossConfig(), []
        for state in states:
            answers = Known().answers(2 * state)
            own.append(set_loss(*answers, truth, matched(*answers, truth, config), config).total(config))
        last = DetectionTask(DATA, MODEL, loss=SetLossConfig(every_layer=False), batch_size=16)
        asked: Any = {"model": Known(), "batch": batch, "dropout": None, "hyper": {}}
        return own, task.loss_of(**asked)[0], last.loss_of(**asked)[0]

    own, every, last = found()
    np.testing.assert_allclose([every, last], [own[0] + own[1], own[1]], rtol=1e-5)


@pytest.mark.slow
def test_its_loss_is_that_of_every_layer_and_of_the_last(task: DetectionTask, params: Any) -> None:
    batch = task.batch(3)
    last = DetectionTask(DATA, MODEL, loss=SetLossConfig(every_layer=False), batch_size=16)
    first = DetectionTask(
        DATA, dataclasses.replace(MODEL, decoder_layers=1), loss=SetLossConfig(), batch_size=16
    )
    one_layer = params | {"decoder": {0: params["decoder"][0]}}

    @jax.jit
    def found(params: Any, one_layer: Any) -> Any:
        pairs = (task, params), (last, params), (first, one_layer)
        output = task.model(params)(batch["images"])
        losses = [own.loss(given, batch, dropout=None)[0] for own, given in pairs]
        return jnp.stack(losses), output, task.model(params).answers(output.states)

    values, output, (logits, boxes) = found(params, one_layer)
    np.testing.assert_allclose(values[0], values[1] + values[2], rtol=1e-5)
    np.testing.assert_allclose(logits, output.logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(boxes, output.boxes, rtol=1e-5)


def test_its_loss_falls(task: DetectionTask, params: Any) -> None:
    _, losses = trained(task, params, 25)
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])


@pytest.mark.slow
def test_it_learns_more_than_the_mean_box(task: DetectionTask, params: Any) -> None:
    after, _ = trained(task, params, 150)
    batch = task.validation
    before, later = (float(task.loss(p, batch, dropout=None)[0]) for p in (params, after))
    assert later < 0.6 * before
    part = task.canvases.validation
    scores = [task._score(p, part)["AP50"] for p in (params, after)]
    always = scores_of(mean_boxes(task.batch(0), len(part.images)), part)["AP50"]
    assert scores[1] > 2 * always + 3
    assert scores[0] < scores[1] / 2


@pytest.mark.slow
def test_it_finds_most_of_what_there_is(tmp_path: Path) -> None:
    task = DetectionTask(DATA, dataclasses.replace(MODEL, dim=64), baseline_steps=300, batch_size=32)
    params, _ = trained(task, jax.jit(task.init)(jax.random.key(0)), 1000)
    table = task.evaluate(params, tmp_path).metrics
    ours = table[f"model: {HELD_OUT}"]["AP50"]
    assert ours > 90
    assert ours > 3 * table[f"the mean box of each label: {HELD_OUT}"]["AP50"]
    # Convolutions see most of the image from each of its nine cells, so that none has to be looked at.
    lost = {name: row["points lost without 8 cells"] for name, row in table.items() if "cells" in name}
    assert lost["cells of the true box"] > 1.2 * lost["random cells"]


def test_its_table_has_baselines_and_what_queries_attend_to(
    task: DetectionTask, params: Any, tmp_path: Path
) -> None:
    found = task.evaluate(params, tmp_path)
    names = ("model", "grid of convolutions", "the mean box of each label")
    assert {f"{name}: {HELD_OUT}" for name in names} <= set(found.metrics)
    assert found.metrics[f"model: {HELD_OUT}"]["objects"] == 32
    assert {"attention of layer 0", "attention of layer 1", "random cells"} <= set(found.metrics)
    looks = found.metrics["attention of layer 1"]
    shares = task.canvases.tests[HELD_OUT].boxes[:, 0, 2:].prod(-1)
    assert looks["by chance %"] == pytest.approx(100 * shares.mean(), rel=1e-4)
    assert 0 < looks["weight in the box %"] < 100
    assert "points lost without 8 cells" in looks
    assert found.figures[0].is_file()


def test_its_picture_is_of_images_in_which_there_is_something(
    task: DetectionTask, params: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, own = [], detection.objects_figure
    monkeypatch.setattr(
        detection, "objects_figure", lambda images, titles: drawn.extend(titles) or own(images, titles)
    )
    part = task.canvases.tests[HELD_OUT]
    empty = np.isin(np.arange(len(part.present)), (1, 3, 4, 6, 7))
    empty[7:] = True
    task._save_picture(params, part._replace(present=part.present & ~empty[:, None]), tmp_path / "one.png")
    assert drawn == ["image 1", "image 3", "image 6"]


def test_a_file_is_answered_with_boxes_in_its_own_pixels(
    task: DetectionTask, params: Any, tmp_path: Path
) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (96, 48), (20, 20, 20)).save(path)
    sure = dict(params, head=dict(params["head"], bias=params["head"]["bias"].at[2].set(20.0)))
    (answer,) = task.predict(sure, [task.read_input(str(path))])
    assert answer.text.startswith("ring 100 %")
    record = answer.record()["objects"]
    assert len(record) == 4
    left, top, right, bottom = answer.objects[0].box
    bbox = [left * 96, top * 48, (right - left) * 96, (bottom - top) * 48]
    assert record[0]["bbox"] == pytest.approx(bbox, abs=0.06)
    assert answer.objects[0].weights.sum() == pytest.approx(1, abs=1e-5)
    assert "% of its attention lies in the box" in answer.picture()
    files = answer.save(tmp_path)
    assert [file.name for file in files] == ["wide.detection.png", "wide.detection.html"]
    assert "ring 100 %" in files[1].read_text()
    assert answer.save(tmp_path, "{}-2".format)[0].name == "wide-2.detection.png"
    json.dumps(answer.record() | answer.details())
    (nothing,) = task.predict(
        dict(params, head=dict(params["head"], bias=params["head"]["bias"].at[5].set(20.0))),
        [task.read_input(str(path))],
    )
    assert nothing.text == "nothing"
    nothing.save(tmp_path)


def test_cells_and_what_hides_them_by_hand() -> None:
    shares = cell_shares(np.array([[0.0, 0.5, 0.75, 1.0]]), 2, 2)
    np.testing.assert_allclose(shares, [[0, 0, 1, 0.5]])
    weights = np.array([[0.1, 0.2, 0.3, 0.4]])
    pixels = np.zeros((1, 4, 4), bool)
    pixels[0, 2:, 1] = pixels[0, 3, 3] = True
    showing = cells_showing(pixels, 2, 2)
    assert showing.tolist() == [[False, False, True, True]]
    found = looks_score(weights, shares, showing)
    assert found["weight in the box %"] == pytest.approx(50)
    assert found["by chance %"] == pytest.approx(37.5)
    assert found["pointing %"] == 100
    assert found["pointing by chance %"] == 50
    images = np.arange(36.0).reshape(1, 6, 6, 1)
    covered = hidden(images, np.arange(9.0)[None], 3, 3)[0, :, :, 0]
    assert (covered[:2, :2] == images[0, :2, :2, 0]).all()
    assert (covered.reshape(3, 2, 3, 2).transpose(0, 2, 1, 3).reshape(9, -1)[1:] == 17.5).all()


def test_images_without_objects_are_told_from_others_by_the_highest_score() -> None:
    present = np.array([[True], [False], [True]])
    boxes = np.tile(np.array([0.5, 0.5, 0.5, 0.5], np.float32), (3, 1, 1))
    pixels = np.zeros((3, 24, 24), np.uint8)
    part = Objects(pixels[..., None], np.zeros((3, 1), np.int32), boxes, present, pixels)
    square = np.array([[0.25, 0.25, 0.75, 0.75]])
    found = [Boxes(np.array([0]), square, np.array([score])) for score in (0.9, 0.5, 0.2)]
    scores = scores_of(found, part)
    assert scores["AUROC any"] == pytest.approx(0.5)
    assert scores["AP"] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    assert (scores["images"], scores["objects"]) == (3, 2)
    assert "AUROC any" not in scores_of(found[:1], Objects(*(array[:1] for array in part)))


def test_what_does_not_fit_is_one_line() -> None:
    few = dataclasses.replace(MODEL, queries=2)
    with pytest.raises(InputError, match=r"model.queries is 2: an image has 3 objects, expected as many"):
        DetectionTask(DATA, few, batch_size=4)
    with pytest.raises(InputError, match=r"loss.nothing is 0.0: it must be above 0 and at most 1"):
        SetLossConfig(nothing=0.0)
