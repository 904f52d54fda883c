"""TrainConfig: what cannot be trained is refused with the field's name."""

import pytest

from attnjax.config import InputError, traced_fields
from attnjax.train.config import TrainConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "train.steps is 0: it must be an integer ≥ 1"),
        ({"keep": 1.5}, "train.keep is 1.5: it must be an integer ≥ 1"),
        ({"learning_rate": -0.1}, "train.learning_rate is -0.1: it must be a number ≥ 0"),
        ({"learning_rate": float("nan")}, "train.learning_rate is nan: it must be a number ≥ 0"),
        ({"dropout": 1.5}, "train.dropout is 1.5: it must be a number in [0, 1)"),
        ({"clip_norm": 0}, "train.clip_norm is 0: it must be a number > 0"),
        ({"warmup_steps": 20, "steps": 10}, "train.warmup_steps is 20: it must be at most train.steps (10)"),
        ({"accumulate": 3}, "train.accumulate is 3: it must divide train.batch_size (128)"),
    ],
)
def test_a_bad_value_is_named(fields: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        TrainConfig(**fields)
    assert str(error.value) == message


def test_the_scalars_of_the_optimiser_and_the_loss_are_traced() -> None:
    assert set(traced_fields(TrainConfig())) == {
        "learning_rate",
        "weight_decay",
        "dropout",
        "beta1",
        "beta2",
        "clip_norm",
        "ema_decay",
        "rate_factors",
        "layer_decay",
        "patience",
        "least_improvement",
    }
