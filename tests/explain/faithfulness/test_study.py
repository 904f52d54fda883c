"""The experiment's table: the maps that fit a model beside random, best and planted orders."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from attnjax.data.images.config import MosaicData
from attnjax.data.images.mosaics import Mosaics
from attnjax.data.synthetic.planted import PlantedData, make_planted
from attnjax.experiment.registry import find_or_load
from attnjax.models import Encoder, EncoderConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.tasks.laid_out import MosaicTask

FILE = Path(__file__).parents[3] / "experiments" / "faithfulness.py"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the experiment's file, with few methods and metrics."""
    found: dict[str, Any] = find_or_load("faithfulness", FILE).make.task.__globals__
    monkeypatch.setitem(found, "OPTIONS", {"raw": {}, "occlusion": {"baseline": True}})
    monkeypatch.setitem(found, "METRICS", ("auprc", "pointing_game", "naopc"))
    monkeypatch.setitem(found, "CONTROLS", ("uniform_attention",))
    return found


@pytest.mark.slow
def test_methods_that_fit_have_rows(study: dict[str, Any]) -> None:
    source = make_planted(PlantedData("causes", length=5, causes=1))
    config = EncoderConfig(dim=8, heads=2, hidden=8, layers=1, head="labels", mechanism="linear")
    model = Encoder(config, vocab=source.vocab, rngs=nnx.Rngs(0))
    table = study["measured"](model, source.rows(20, np.random.default_rng(0)), examples=4)
    assert {"raw", "occlusion", "random order", "best order", "rationale", "model"} <= set(table)
    assert table["rationale"]["auprc"] == 1
    assert table["best order"]["naopc"] == 1
    assert "naopc sd" in table["random order"]
    assert all(np.isfinite(list(row.values())).all() for row in table.values())


@pytest.mark.slow
def test_the_cells_of_mosaics_have_rows(study: dict[str, Any]) -> None:
    config = VisionConfig(
        dim=8, heads=2, hidden=8, layers=1, image=12, patch=6, class_token=False, pooling="mean"
    )
    task = MosaicTask(
        Mosaics(MosaicData(rows=2, columns=2, evaluation_examples=64)),
        config,
        batch_size=4,
        account=partial(study["measured_images"], examples=4),
    )
    found = task.evaluate(jax.jit(task.init)(jax.random.key(0)), Path()).metrics
    assert {"as trained", "raw", "occlusion", "random order", "best order", "rationale", "model"} <= set(
        found
    )
    assert found["rationale"]["auprc"] == found["rationale"]["pointing_game"] == 1
    assert found["best order"]["naopc"] == 1
    assert 0.25 < found["random order"]["pointing_game"] < 0.75  # Two of four cells.
    assert all(np.isfinite(list(row.values())).all() for row in found.values())
