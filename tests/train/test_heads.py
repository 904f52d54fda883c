"""Numbers on the heads of a trained model: those of its weights; none where a model shows none."""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.planted import PlantedData, make_planted
from attnjax.data.text.config import TranslationData
from attnjax.models.config import TransformerConfig
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.nn.taps import Taps
from attnjax.tasks.planted import PlantedTask
from attnjax.tasks.translation.config import TranslationLoss
from attnjax.tasks.translation.task import TranslationTask
from attnjax.train import heads
from attnjax.train.head_numbers import numbers_of_heads
from attnjax.train.heads import HeadNumbers
from attnjax.train.observers.watch import Watch
from tests.train.toy import ToyTask

ENCODER = EncoderConfig(dim=8, heads=2, hidden=8, layers=1, head="labels", implementation="reference")
DATES = TranslationData(examples=30, evaluation_examples=4, locales=("es",))
TRANSLATOR = TransformerConfig(
    dim=8, heads=2, encoder_layers=1, decoder_layers=1, hidden=8, implementation="reference"
)


def test_numbers_are_those_of_the_weights_of_the_first_held_out_examples(monkeypatch) -> None:
    data = make_planted(PlantedData("causes", length=4, causes=1, evaluation_examples=8))
    task = PlantedTask(data, ENCODER, batch_size=8)
    params = task.init(jax.random.key(0))
    first = {name: x[: heads.INPUTS] for name, x in task.held_out().items()}
    site = "blocks.0.attention"
    output = task.model(params)(
        first["tokens"], lengths=first["lengths"], capture=Taps(read=f"{site}.weights")
    )
    expected = numbers_of_heads(np.asarray(output.taps[f"{site}.weights"]))
    assert HeadNumbers(task)(params) == {site: pytest.approx(expected, rel=1e-5)}

    monkeypatch.setattr(heads, "MOST_WEIGHTS", 10)
    assert HeadNumbers(PlantedTask(data, ENCODER, batch_size=8))(params) == {}


def test_a_loss_that_asks_for_weights_itself_has_numbers_too() -> None:
    guided = TranslationLoss(lambda_align=0.5, lambda_coverage=2.0)
    found = []
    for loss in (TranslationLoss(), guided):
        task = TranslationTask(DATES, TRANSLATOR, loss=loss, batch_size=4)
        found.append(HeadNumbers(task)(task.init(jax.random.key(0))))
    assert list(found[0]) == ["decoder.0.cross_attention", "decoder.0.self_attention", "encoder.0.attention"]
    assert {name: pytest.approx(numbers) for name, numbers in found[0].items()} == found[1]


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (RecurrentConfig(dim=8, cell="gru"), "decoder.cross_attention"),
        (replace(TRANSLATOR, copy=True), "decoder.0.cross_attention"),
    ],
)
def test_recurrent_networks_and_models_that_copy_have_them_and_can_be_watched(
    config, layer: str, tmp_path: Path
) -> None:
    task = TranslationTask(
        replace(DATES, share_vocabulary=True), config, loss=TranslationLoss(), batch_size=4
    )
    params = task.init(jax.random.key(0))
    numbers = HeadNumbers(task)(params)[layer]
    Watch(task, ["*.cross_attention"], tmp_path).snapshot(1, params)
    with np.load(tmp_path / "1.npz") as watched:
        assert numbers == pytest.approx(numbers_of_heads(watched[layer]), rel=1e-5)


def test_a_model_without_attention_has_none_and_cannot_be_watched(tmp_path: Path) -> None:
    config = RecurrentConfig(dim=8, cross_mechanism=None)
    task = TranslationTask(DATES, config, loss=TranslationLoss(), batch_size=4)
    assert HeadNumbers(task)(task.init(jax.random.key(0))) == {}
    with pytest.raises(InputError, match=r"^watch is decoder\.cross_attention: .*no such site"):
        Watch(task, ["decoder.cross_attention"], tmp_path)


def test_a_model_that_is_not_ready_for_taps_costs_a_warning_and_no_result(caplog) -> None:
    @dataclass  # Without a hash.
    class Own(PlantedTask):
        def loss_of(self, model, batch, **options):
            assert isinstance(model, Encoder), "not the model that was built"
            return super().loss_of(model, batch, **options)

        __init__ = PlantedTask.__init__

    task = Own(make_planted(PlantedData("causes", length=4, evaluation_examples=8)), ENCODER, batch_size=8)
    assert HeadNumbers(task)(task.init(jax.random.key(0))) == {}
    assert "no numbers on heads: AssertionError: not the model" in caplog.text


def test_a_task_without_a_model_of_its_own_has_none() -> None:
    assert HeadNumbers(ToyTask())(None) == {}
