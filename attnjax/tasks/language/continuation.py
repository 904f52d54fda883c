"""Answers of language models: what comes next."""

from dataclasses import dataclass
from typing import Any

from attnjax.tasks.base import Prediction


@dataclass(frozen=True)
class Continuation(Prediction):
    """The text that a language model writes after another one, the likeliest token each time."""

    text: str
    bits: tuple[float, ...]
    """-log₂ of the probability of each token of the given text."""
    names: tuple[str, ...]
    """Of the tokens of the given text."""

    def details(self) -> dict[str, Any]:
        """Returns the bits of each token of the given text."""
        return {"bits": [[name, round(bits, 3)] for name, bits in zip(self.names, self.bits, strict=True)]}

    def picture(self) -> str:
        """Returns the tokens of the given text with their bits, and their mean."""
        mean = sum(self.bits) / max(1, len(self.bits))
        shown = " ".join(f"{name}:{bits:.1f}" for name, bits in zip(self.names, self.bits, strict=True))
        return f"bits of each token given: {shown}\nmean: {mean:.2f}"
