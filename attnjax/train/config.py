"""The settings of a training. Free of jax, so that the command line can read it at once."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from attnjax.config import InputError, following, require, traced
from attnjax.train.adapter_config import NO_ADAPTER, AdapterConfig


def _kept_average(decay: float) -> float:
    """One decay for all above 0: whether an average is kept decides the structure of the state."""
    return 0.5 if decay > 0 else 0.0


def _some_decay(factor: float) -> float:
    """One factor for all other than 1: whether there is one decides the structure of the step."""
    return factor if factor == 1 else 0.5


def _ones(factors: tuple[float, ...]) -> tuple[float, ...]:
    """One program for all of so many factors."""
    return (1.0,) * len(factors)


def _warmup_within(warmup_steps: int, steps: int) -> int:
    """A warm-up that would outlast the run is a tenth of it."""
    return warmup_steps if warmup_steps <= steps else steps // 10


Optimizer = Literal["adamw", "lion", "muon", "adafactor", "sgd"]
Schedule = Literal["cosine", "linear", "wsd", "constant", "inverse_sqrt"]
ENDLESS_SCHEDULES = ("constant", "inverse_sqrt")
"""Those in which no step depends on how many there will be."""


@dataclass(frozen=True)
class TrainConfig:
    """An optimiser with warm-up and decay, gradients clipped by their global norm. Steps are its updates."""

    steps: int = 1000
    """Updates of the whole run."""
    batch_size: int = 128
    """Examples of one update, over all devices and micro-batches."""
    accumulate: int = 1
    """Micro-batches that one update is split into; the update is that of the whole batch."""
    log_every: int = 50
    """Steps that run in one dispatch; metrics are written and checkpoints saved only between dispatches."""
    checkpoint_every: int = 250
    """Validate and save at the first end of a dispatch at or after each multiple of this, and at the end."""
    keep: int = 2
    """Latest checkpoints kept; the best one by the task's metric is kept beside them."""
    warmup_steps: int = following(100, "steps", _warmup_within)
    """Updates of linear warm-up to the learning rate; where only `steps` is set, to fewer, a tenth of it."""
    optimizer: Optimizer = "adamw"
    """AdamW, Lion, Muon (AdamW for what are no matrices), Adafactor, or SGD with momentum."""
    schedule: Schedule = "cosine"
    """After the warm-up: towards 0 along a cosine or a line, or (wsd) in the last fifth of all;
    constant or as 1/√step: such a run can be prolonged."""
    init_from: Path | None = None
    """Folder of a pretrained model or a finished run, whose parameters training begins with; None: none."""
    adapter: AdapterConfig = NO_ADAPTER
    """Changes of low rank that are trained in the place of whole kernels."""
    patience: int = traced(0)
    """Validations in a row without an improvement of the task's metric that end the training; 0: none do."""
    least_improvement: float = traced(0.0)
    """A better value of the metric that is no further from the best one is no improvement."""
    frozen: tuple[str, ...] = ()
    """Patterns of names of parameters that stay as they are, such as encoder.*"""
    undecayed: tuple[str, ...] = ()
    """Patterns of names of further parameters without weight decay."""
    rate_patterns: tuple[str, ...] = ()
    """Patterns of names of parameters with learning rates of their own; the first that fits counts."""
    rate_factors: tuple[float, ...] = field(default=(), metadata={"traced": True, "static": _ones})
    """Factors of the learning rate, one for each of rate_patterns."""
    layer_decay: float = field(default=1.0, metadata={"traced": True, "static": _some_decay})
    """Factor of the learning rate from each block to the one below it; the embedding lies below them all."""
    learning_rate: float = traced(1e-3)
    """Its peak, at the end of the warm-up."""
    weight_decay: float = traced(0.01)
    """Of matrices; biases and norms have none."""
    dropout: float = traced(0.1)
    """Share of activations and of attention weights that each step sets to 0."""
    beta1: float = traced(0.9)
    """Decay of the mean of gradients; the momentum of SGD and Muon."""
    beta2: float = traced(0.98)
    """Decay of the mean of squared gradients; in Lion that of the mean which is kept."""
    clip_norm: float = traced(1.0)
    """Gradients with a larger global norm are scaled down to it."""
    ema_decay: float = field(default=0.0, metadata={"traced": True, "static": _kept_average})
    """Exponential moving average of the parameters, used for validation and as the result; 0 keeps none."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "log_every", "checkpoint_every", "keep"):
            _require_integer(name, getattr(self, name), least=1)
        for name in ("warmup_steps", "patience"):
            _require_integer(name, getattr(self, name), least=0)
        require(
            self.warmup_steps <= self.steps,
            f"train.warmup_steps is {self.warmup_steps}: it must be at most train.steps ({self.steps})",
        )
        require(
            self.batch_size % self.accumulate == 0,
            f"train.accumulate is {self.accumulate}: it must divide train.batch_size ({self.batch_size})",
        )
        for name, choices in (("optimizer", get_args(Optimizer)), ("schedule", get_args(Schedule))):
            value = getattr(self, name)
            require(value in choices, f"train.{name} is {value!r}: it must be one of {', '.join(choices)}")
        require(
            len(self.rate_patterns) == len(self.rate_factors),
            f"train.rate_factors has {len(self.rate_factors)} numbers: it must have one for each of "
            f"train.rate_patterns ({len(self.rate_patterns)})",
        )
        for factor in self.rate_factors:
            _require_number("rate_factors", factor, value_ok=lambda v: v >= 0, expected="numbers ≥ 0")
        for name in ("learning_rate", "weight_decay", "least_improvement"):
            value = getattr(self, name)
            _require_number(name, value, value_ok=lambda v: v >= 0, expected="a number ≥ 0")
        _require_number(
            "layer_decay", self.layer_decay, value_ok=lambda v: 0 < v <= 1, expected="a number in (0, 1]"
        )
        _require_number("clip_norm", self.clip_norm, value_ok=lambda v: v > 0, expected="a number > 0")
        for name in ("dropout", "beta1", "beta2", "ema_decay"):
            value = getattr(self, name)
            _require_number(name, value, value_ok=lambda v: 0 <= v < 1, expected="a number in [0, 1)")


def _require_integer(name: str, value: Any, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"train.{name} is {value!r}: it must be an integer ≥ {least}")


def _require_number(name: str, value: Any, *, value_ok: Any, expected: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not value_ok(value):
        raise InputError(f"train.{name} is {value!r}: it must be {expected}")
