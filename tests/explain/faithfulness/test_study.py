"""The experiment's table: the maps that fit a model beside random, best and planted orders."""

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from attnjax.data.synthetic.planted import PlantedData, make_planted
from attnjax.experiment.registry import find_or_load
from attnjax.models import Encoder, EncoderConfig

FILE = Path(__file__).parents[3] / "experiments" / "faithfulness.py"


@pytest.mark.slow
def test_methods_that_fit_have_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    study = find_or_load("faithfulness", FILE).make.task.__globals__
    few = {"raw": {}, "occlusion": {"baseline": True}}
    monkeypatch.setitem(study, "OPTIONS", few)
    monkeypatch.setitem(study, "METRICS", ("auprc", "naopc"))
    monkeypatch.setitem(study, "CONTROLS", ("uniform_attention",))
    source = make_planted(PlantedData("causes", length=5, causes=1))
    config = EncoderConfig(dim=8, heads=2, hidden=8, layers=1, head="labels", mechanism="linear")
    model = Encoder(config, vocab=source.vocab, rngs=nnx.Rngs(0))
    table = study["measured"](model, source.rows(20, np.random.default_rng(0)), examples=4)
    assert {"raw", "occlusion", "random order", "best order", "rationale", "model"} <= set(table)
    assert table["rationale"]["auprc"] == 1
    assert table["best order"]["naopc"] == 1
    assert "naopc sd" in table["random order"]
    assert all(np.isfinite(list(row.values())).all() for row in table.values())
