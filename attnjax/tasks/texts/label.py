"""Answers of models that label texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from attnjax.tasks.base import Prediction


@dataclass(frozen=True)
class Label(Prediction):
    """The label of a text: the likeliest class with its probability, or a number."""

    label: str
    shares: dict[str, float]
    """The probability of each class; nothing where labels are numbers."""

    @classmethod
    def of_two(cls, names: Sequence[str], share: float) -> Self:
        """Returns the label of two classes by the probability of the second.

        Example:
          >>> Label.of_two(("no", "yes"), 0.75)
          Label(label='yes', shares={'no': 0.25, 'yes': 0.75})
        """
        return cls(names[int(share > 0.5)], dict(zip(names, (1 - share, share), strict=True)))

    @property
    def text(self) -> str:  # type: ignore[override]
        """The label."""
        return self.label

    def record(self) -> dict[str, Any]:
        """Returns the label and, of a class, its probability."""
        if not self.shares:
            return {"label": float(self.label)}
        return {"label": self.label, "probability": self.shares[self.label]}

    def details(self) -> dict[str, Any]:
        """Returns the probabilities of all classes."""
        return {"probabilities": self.shares} if self.shares else {}

    def picture(self) -> str:
        """Returns the classes with their probabilities, the likeliest first."""
        ranked = sorted(self.shares.items(), key=lambda pair: -pair[1])
        return "\n".join(f"{100 * share:5.1f} % {name}" for name, share in ranked)
