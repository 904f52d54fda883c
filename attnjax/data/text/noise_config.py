"""Settings of the noise on tokens. Free of jax and numpy: the command line starts at once."""

import dataclasses
from dataclasses import dataclass

from attnjax.config import require


@dataclass(frozen=True)
class NoiseConfig:
    """The noise on the tokens of a training batch, other at every step; 0 for none.

    Each is a temperature τ: of a text's n tokens k are chosen, with probability proportional to exp(-k / τ)
    for k from 0 to n - 1, and which ones is chance.
    """

    tokendrop: float = 0.0
    """Of the source's tokens that are left out."""
    tokenmask: float = 0.0
    """Of the source's tokens that become the unknown token."""
    switchout: float = 0.0
    """Of the tokens, on both sides, that become others, each as likely."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            require(value >= 0, f"noise.{field.name} is {value}: expected a temperature, 0 or more")


NO_NOISE = NoiseConfig()
"""None of them."""
