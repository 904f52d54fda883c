"""Images and graphs with answers: these by another way, batches by step, the loss, and the final table."""

from collections import deque
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from attnjax.config import InputError
from attnjax.data.graphs.config import NearestData
from attnjax.data.graphs.nearest import LARGER, Nearest
from attnjax.data.images.config import CELL, MosaicData
from attnjax.data.images.mosaics import _DIGITS, MARK, WIDER, Mosaics
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED
from attnjax.models.graph_config import GraphConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.tasks.laid_out import MosaicTask, NearestTask

SMALL = {"dim": 8, "heads": 2, "hidden": 8, "layers": 1}
PATCHES = {"image": 12, "patch": 6, "class_token": False, "pooling": "mean"}


@pytest.mark.parametrize("setting", [AS_TRAINED, WIDER])
def test_the_answer_is_the_digit_that_one_reads_beside_the_mark(setting: str) -> None:
    made = Mosaics(MosaicData(rows=2, columns=3, apart=2, noise=0.0)).rows(
        20, np.random.default_rng(3), setting
    )
    stencils = {digit: kind for kind, digit in enumerate(_DIGITS)}
    for image, answer in zip(made["images"][..., 0], made["answers"], strict=True):
        rows, columns = (side // CELL for side in image.shape)
        read = {}
        for row in range(rows):
            for column in range(columns):
                cell = image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] > 0.5
                up, left = cell.any(1).argmax(), cell.any(0).argmax()
                found = cell[up : up + 5, left : left + 3]
                read[row, column] = stencils[
                    tuple("".join("#" if x else "." for x in line) for line in found)
                ]
        assert len(read) == rows * columns == 2 * (3 + 2 * (setting == WIDER))
        ((row, column),) = [place for place, kind in read.items() if kind == MARK]
        assert read[row, column + 2] == answer


@pytest.mark.parametrize("setting", [AS_TRAINED, WIDER])
def test_the_rationale_is_the_mark_and_the_digit_that_is_asked_for(setting: str) -> None:
    source = Mosaics(MosaicData(rows=2, columns=3, apart=2, noise=0.0))
    made = source.planted(40, np.random.default_rng(3), setting)
    rows = source.rows(40, np.random.default_rng(3), setting)
    np.testing.assert_array_equal(made["images"], rows["images"])
    columns = made["images"].shape[2] // CELL
    ink = [sum(line.count("#") for line in digit) for digit in _DIGITS]
    for image, answer, right in zip(made["images"][..., 0], rows["answers"], made["rationale"], strict=True):
        cells = image.reshape(2, CELL, columns, CELL).sum((1, 3)).reshape(-1)
        mark, digit = np.flatnonzero(right)
        assert digit == mark + 2
        assert [cells[mark], cells[digit]] == [ink[MARK], ink[answer]]


@pytest.mark.parametrize("setting", [AS_TRAINED, LARGER])
def test_the_answer_is_the_only_nearest_colour(setting: str) -> None:
    data = NearestData(nodes=12, edges=12, colours=3, reach=2)
    made = Nearest(data).rows(10, np.random.default_rng(3), setting)
    asked = 0
    for nodes, edges, length, answers in zip(
        made["nodes"], made["edges"], made["lengths"], made["answers"], strict=True
    ):
        assert not nodes[length:].any()
        assert edges.max() < length
        assert sorted(nodes[nodes > 0]) == [1, 2, 3]
        for node, answer in enumerate(answers):
            away, waiting = {node: 0}, deque([node])
            while waiting:
                at = waiting.popleft()
                for source, target in edges.T:
                    if target == at and source not in away:
                        away[source] = away[at] + 1
                        waiting.append(source)
            near = sorted((steps, nodes[other] - 1) for other, steps in away.items() if nodes[other])
            known = bool(near) and near[0][0] <= 2 and node < length and not nodes[node]
            alone = known and (len(near) == 1 or near[1][0] > near[0][0])
            assert answer == (near[0][1] if alone else NOT_ASKED)
            asked += alone
    assert asked > 10


@pytest.fixture(scope="module")
def tasks() -> dict[str, MosaicTask | NearestTask]:
    mosaics = Mosaics(MosaicData(rows=2, columns=2, evaluation_examples=8))
    graphs = Nearest(NearestData(nodes=8, edges=8, colours=2, evaluation_examples=8))
    return {
        "images": MosaicTask(mosaics, VisionConfig(**SMALL, **PATCHES, mechanism="eca"), batch_size=4),
        "graphs": NearestTask(graphs, GraphConfig(**SMALL, mechanism="gat"), batch_size=4),
    }


@pytest.mark.parametrize("name", ["images", "graphs"])
def test_the_loss_and_the_table_are_of_what_is_asked(tasks, name: str, tmp_path: Path) -> None:
    task = tasks[name]
    params, batch = jax.jit(task.init)(jax.random.key(0)), task.batch(3)
    jax.tree.map(np.testing.assert_array_equal, batch, task.batch(3))
    assert any((batch[key] != task.batch(4)[key]).any() for key in batch)
    value, metrics = jax.jit(task.loss)(params, batch, dropout=None)
    logits = jax.jit(lambda params: task.logits_of(task.model(params), batch))(params)
    asked = batch["answers"] != NOT_ASKED
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, np.maximum(batch["answers"], 0))
    np.testing.assert_allclose(value, np.asarray(losses)[asked].mean(), rtol=1e-5)
    assert metrics["weight"] == asked.sum()
    evaluation = task.evaluate(params, tmp_path)
    assert list(evaluation.metrics) == list(task.source.settings)
    expected = {"images": ["answers %", "examples"], "graphs": ["answers %", "graphs %", "examples"]}[name]
    assert all(list(row) == expected for row in evaluation.metrics.values())
    assert task.monitor[0] in task.validate(params)
    right = evaluation.samples[0]["right ones"].split()
    first = task._tests[AS_TRAINED]["answers"][:1]
    assert right == [str(x) for x in first[first != NOT_ASKED]]


def test_settings_that_do_not_fit_are_refused() -> None:
    for made, fields, message in (
        (MosaicData, {"columns": 2, "apart": 2}, "^data.columns is 2: it must be a whole number, 3 or more$"),
        (MosaicData, {"noise": -1.0}, "^data.noise is -1.0: it must be 0 or more$"),
        (NearestData, {"nodes": 15}, "^data.nodes is 15: it must be a whole number, 16 or more$"),
    ):
        with pytest.raises(InputError, match=message):
            made(**fields)
    with pytest.raises(InputError, match=r"^model.patch is 4: it must divide cells of 6$"):
        MosaicTask(Mosaics(MosaicData()), VisionConfig(image=8, patch=4), batch_size=4)
