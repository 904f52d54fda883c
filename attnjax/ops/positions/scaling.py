"""Scalings of rotary frequencies: how a model reads texts longer than those it was trained on.

Each is a frozen dataclass that `rope(scaling=...)` takes, and says the same as the `rope_type` of that name
in the configurations of Hugging Face.
"""

import abc
import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.core.checks import count
from attnjax.ops.positions.angles import frequencies


class RopeScaling(abc.ABC):
    """A rule that turns the frequencies base^(-2i/R) of rotary positions into others.

    Example:
      >>> isinstance(LinearScaling(2.0), RopeScaling)
      True
    """

    @abc.abstractmethod
    def frequencies(self, rotated: int, base: float, positions: Int[Array, "*B T"]) -> np.ndarray | Array:
        """Returns the frequencies in radians per token: [R/2] of NumPy, or [*B, 1, R/2] by position."""

    @property
    def amplitude(self) -> float:
        """The factor of cosines and sines, and so the root of a factor of all products."""
        return 1.0


@dataclasses.dataclass(frozen=True)
class LinearScaling(RopeScaling):
    """Position interpolation: every frequency is divided by `factor`, as if tokens stood closer.

    Attributes:
      factor: how many times longer texts become, at least 1.

    References:
      Chen et al., Extending Context Window of Large Language Models via Positional Interpolation, 2023
      (arXiv:2306.15595).

    Example:
      >>> LinearScaling(4.0).frequencies(4, 10000.0, jnp.arange(8)).tolist()
      [0.25, 0.0025]
    """

    factor: float

    def __post_init__(self) -> None:
        _check_factor(self.factor)

    def frequencies(self, rotated: int, base: float, positions: Array) -> np.ndarray:
        """Returns the frequency of each rotated pair of channels."""
        return frequencies(rotated, base) / self.factor


@dataclasses.dataclass(frozen=True)
class DynamicNTKScaling(RopeScaling):
    """Dynamic NTK: a base that grows with the length L of the text beyond the original length L₀.

        base' = base · (factor·L/L₀ - (factor - 1))^(R/(R-2)),  L at least L₀

    Attributes:
      factor: how many times longer texts become, at least 1.
      original_length: L₀ in tokens, of the texts that the model was trained on.
      length: L in tokens. None takes the highest position of each row, plus 1: then queries and keys of one
        text must be rotated by one call or for one length, and far angles have float32's digits. With a KV
        cache, where keys are rotated once and for all, give the length that the text will reach.

    References:
      Peng et al., YaRN: Efficient Context Window Extension of Large Language Models, 2023, appendix B.1
      (arXiv:2309.00071).

    Example:
      >>> longer = DynamicNTKScaling(2.0, original_length=4, length=8)
      >>> longer.frequencies(4, 100.0, jnp.arange(8)).round(4).tolist()
      [1.0, 0.0333]
    """

    factor: float
    original_length: int
    length: int | None = None

    def __post_init__(self) -> None:
        _check_factor(self.factor)
        count("original_length", self.original_length)
        if self.length is not None:
            count("length", self.length)

    def frequencies(self, rotated: int, base: float, positions: Array) -> np.ndarray | Array:
        """Returns the frequency of each rotated pair of channels."""
        if rotated < 4:
            raise ValueError(f"dynamic NTK scaling rotates {rotated} entries of a head: expected at least 4")
        plain, exponents = frequencies(rotated, base), -np.arange(0, rotated, 2) / (rotated - 2)
        if self.length is not None:
            longer = max(self.length / self.original_length, 1.0)
            return plain * np.power(self.factor * longer - (self.factor - 1), exponents)
        dtype = jnp.result_type(float)
        length = jnp.max(positions, axis=-1, keepdims=True)[..., None].astype(dtype) + 1
        growth = self.factor * jnp.maximum(length / self.original_length, 1) - (self.factor - 1)
        along = (1,) * (growth.ndim - 1) + (-1,)
        return plain.astype(dtype).reshape(along) * growth ** exponents.astype(dtype).reshape(along)


@dataclasses.dataclass(frozen=True)
class YarnScaling(RopeScaling):
    """YaRN: high frequencies stay, low ones are divided by `factor`, a ramp over the pairs lies between.

    The ramp runs between the pairs that turn `beta_fast` and `beta_slow` times within the original length, as
    in the authors' code. Queries and keys are multiplied by `attention_factor`.

    Attributes:
      factor: how many times longer texts become, at least 1.
      original_length: in tokens, of the texts that the model was trained on.
      beta_fast: turns within the original length from which on a frequency stays.
      beta_slow: turns within the original length up to which a frequency is divided by the factor.
      attention_factor: None = 0.1·ln(factor) + 1. With DeepSeek's `mscale` and `mscale_all_dim` it is
        (0.1·mscale·ln(factor) + 1) / (0.1·mscale_all_dim·ln(factor) + 1).
      truncate: whether the ramp begins and ends at whole pairs.

    References:
      Peng et al., YaRN: Efficient Context Window Extension of Large Language Models, 2023 (arXiv:2309.00071).

    Example:
      >>> round(YarnScaling(4.0, original_length=4096).amplitude, 4)
      1.1386
    """

    factor: float
    original_length: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        _check_factor(self.factor)
        count("original_length", self.original_length)
        if not 0 < self.beta_slow < self.beta_fast:
            raise ValueError(
                f"beta_slow is {self.beta_slow} and beta_fast {self.beta_fast}: expected 0 < slow < fast"
            )
        if self.attention_factor is not None and not self.attention_factor > 0:
            raise ValueError(f"attention_factor is {self.attention_factor}: expected a positive number")

    @property
    def amplitude(self) -> float:
        """The factor of rotated queries and keys."""
        return 0.1 * math.log(self.factor) + 1 if self.attention_factor is None else self.attention_factor

    def frequencies(self, rotated: int, base: float, positions: Array) -> np.ndarray:
        """Returns the frequency of each rotated pair of channels."""
        if base == 1:
            raise ValueError("base is 1: YaRN expects another, since all frequencies would be alike")
        plain = frequencies(rotated, base)

        def pair_that_turns(times: float) -> float:
            return rotated * math.log(self.original_length / (times * 2 * math.pi)) / (2 * math.log(base))

        low, high = pair_that_turns(self.beta_fast), pair_that_turns(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotated - 1)
        high += 0.001 if low == high else 0  # A ramp of no length would divide by 0.
        slow = np.clip((np.arange(rotated // 2) - low) / (high - low), 0, 1)
        return plain * (1 - slow) + plain / self.factor * slow


@dataclasses.dataclass(frozen=True)
class Llama3Scaling(RopeScaling):
    """Llama 3.1's scaling: by the wavelength λ, with a ramp between long and short ones.

    With r = original_length/λ, a frequency is divided by `factor` where r is below `low_frequency_factor`,
    stays where r is above `high_frequency_factor`, and is mixed of both in proportion to r between them.

    Attributes:
      factor: how many times longer texts become, at least 1.
      original_length: in tokens, of the texts that the model was trained on.
      low_frequency_factor: turns within the original length below which a frequency is divided.
      high_frequency_factor: turns within the original length above which a frequency stays.

    References:
      Grattafiori et al., The Llama 3 Herd of Models, 2024 (arXiv:2407.21783); the formula is in the code
      published with the models.

    Example:
      >>> Llama3Scaling(8.0, original_length=64).frequencies(4, 10000.0, jnp.arange(8)).tolist()
      [1.0, 0.00125]
    """

    factor: float
    original_length: int
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0

    def __post_init__(self) -> None:
        _check_factor(self.factor)
        count("original_length", self.original_length)
        if not 0 < self.low_frequency_factor < self.high_frequency_factor:
            raise ValueError(
                f"low_frequency_factor is {self.low_frequency_factor} and high_frequency_factor "
                f"{self.high_frequency_factor}: expected 0 < low < high"
            )

    def frequencies(self, rotated: int, base: float, positions: Array) -> np.ndarray:
        """Returns the frequency of each rotated pair of channels."""
        plain = frequencies(rotated, base)
        turns = self.original_length * plain / (2 * np.pi)
        low, high = self.low_frequency_factor, self.high_frequency_factor
        kept = np.clip((turns - low) / (high - low), 0, 1)
        return plain * kept + plain / self.factor * (1 - kept)


def _check_factor(factor: float) -> None:
    if not factor >= 1:
        raise ValueError(f"factor is {factor}: expected a number of at least 1")
