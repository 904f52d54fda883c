"""Watched layers: numbers by their formulas, files at checkpoints, a strip, unknown layers in one line."""

from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.planted import PlantedData, make_planted
from attnjax.models.encoder_config import EncoderConfig
from attnjax.runs.report.strip import strips
from attnjax.tasks.planted import PlantedTask
from attnjax.train.config import TrainConfig
from attnjax.train.head_numbers import numbers_of_heads
from attnjax.train.loop import fit
from attnjax.train.metrics import MetricsFile
from attnjax.train.observers.watch import Watch
from tests.train.toy import ToyTask

MODEL = EncoderConfig(dim=8, heads=2, hidden=8, layers=1, head="labels", implementation="reference")
TRAIN = TrainConfig(steps=4, batch_size=8, checkpoint_every=2, log_every=2, warmup_steps=1, dropout=0.0)


@pytest.fixture(scope="module")
def task() -> PlantedTask:
    data = PlantedData("causes", length=4, causes=1, evaluation_examples=8)
    return PlantedTask(make_planted(data), MODEL, batch_size=8)


def test_numbers_on_heads_are_their_formulas() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), (2, 3, 4))
    entropy, sink, distance = np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3))
    for b, n, t, s in np.ndindex(p.shape):
        entropy[b, n] -= p[b, n, t, s] * np.log(p[b, n, t, s]) / 4
        sink[b, n] += p[b, n, t, s] / 4 * (s == 0)
        distance[b, n] += p[b, n, t, s] / 4 * abs(t - s)
    apart = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        middle = (p[:, i] + p[:, j]) / 2
        each = [(q * np.log(q / middle)).sum(-1) for q in (p[:, i], p[:, j])]
        apart.append((each[0] + each[1]).mean() / 2)
    found = numbers_of_heads(p)
    expected = {"entropy": entropy, "sink": sink, "distance": distance}
    assert {name: found[name] for name in expected} == pytest.approx(
        {name: x.mean() for name, x in expected.items()}
    )
    assert found["agreement"] == pytest.approx(1 - np.mean(apart) / np.log(2))
    assert found["dormant"] == 0
    p[:, 1] = [1, 0, 0]
    assert numbers_of_heads(p)["dormant"] == pytest.approx(1 / 3)
    assert numbers_of_heads(-p) == pytest.approx(numbers_of_heads(p))
    assert numbers_of_heads(np.full((1, 2, 3, 3), 1 / 3))["agreement"] == pytest.approx(1)


def test_maps_are_written_at_checkpoints_and_change_nothing(task: PlantedTask, tmp_path: Path) -> None:
    class Shown:
        """What a service is told."""

        told: ClassVar[list[tuple[int, str, tuple[int, ...], float]]] = []

        def watched(self, step: int, layer: str, weights: np.ndarray, numbers: dict[str, float]) -> None:
            self.told.append((step, layer, weights.shape, numbers["entropy"]))

    watch = Watch(task, ["blocks.*.attention"], tmp_path / "watched")
    watch.show_in([Shown()])
    seen = fit(task, TRAIN, seed=0, folder=tmp_path / "a", observers=[watch])
    plain = fit(task, TRAIN, seed=0, folder=tmp_path / "b", observers=[])
    jax.tree.map(np.testing.assert_array_equal, seen.params, plain.params)
    rows = MetricsFile(tmp_path / "watched" / "metrics.jsonl").rows()
    assert [(row["step"], row["layer"]) for row in rows] == [(step, "blocks.0.attention") for step in (2, 4)]
    assert Shown.told == [(row["step"], row["layer"], (4, 2, 5, 5), row["entropy"]) for row in rows]
    maps = np.load(tmp_path / "watched" / "4.npz")["blocks.0.attention"]
    assert maps.shape == (4, 2, 5, 5)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
    # They are those of the parameters at that step.
    from attnjax.nn.taps import Taps

    few = {name: x[:4] for name, x in task.validation.items()}
    site = "blocks.0.attention.weights"

    @jax.jit
    def own(params, tokens, lengths):
        return task.model(params)(tokens, lengths=lengths, capture=Taps(read=site)).taps[site]

    np.testing.assert_allclose(maps, own(seen.params, few["tokens"], few["lengths"]), atol=1e-5)
    drawn = strips(tmp_path / "watched")
    assert list(drawn) == ["blocks.0.attention"]
    titles = [panel.get_title() for panel in drawn["blocks.0.attention"].axes]
    assert "step 2" in titles
    assert "entropy" in titles
    assert strips(tmp_path / "nothing") == {}
    watch.start(2, 4, 0)
    assert [row["step"] for row in MetricsFile(tmp_path / "watched" / "metrics.jsonl").rows()] == [2]


def test_a_layer_that_is_not_there_is_one_line(task: PlantedTask, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"watch is decoder\.1\.cross_attention: .*there is no such site"):
        Watch(task, ["decoder.1.cross_attention"], tmp_path)
    with pytest.raises(InputError, match="ToyTask has no model of its own"):
        Watch(ToyTask(), ["blocks.0.attention"], tmp_path)
