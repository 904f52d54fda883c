"""Answers of models of traffic: where a car will be."""

from dataclasses import dataclass
from typing import Any

from attnjax.tasks.base import Prediction


@dataclass(frozen=True)
class Future(Prediction):
    """The futures of car 0 in its own frame: x ahead, y to the left, in metres from its last seen place."""

    seconds: float
    """From one place to the next."""
    chances: tuple[float, ...]
    """The probability of each future, the likeliest first."""
    places: tuple[tuple[tuple[float, float], ...], ...]
    """The places of each future."""
    attended: tuple[float, ...]
    """The weight that car 0 gives to each car, the mean over heads of the first layer; empty: it has none."""

    @property
    def text(self) -> str:  # type: ignore[override]
        """The last place of the likeliest future."""
        x, y = self.places[0][-1]
        when = self.seconds * len(self.places[0])
        return f"({x:.1f}, {y:.1f}) m after {when:g} s, with {100 * self.chances[0]:.0f} %"

    def record(self) -> dict[str, Any]:
        """Returns the likeliest future with its probability."""
        return {"places": self.places[0], "probability": self.chances[0]}

    def details(self) -> dict[str, Any]:
        """Returns all futures, and the weights of the cars."""
        return {"futures": self.places, "probabilities": self.chances, "attention": self.attended}

    def picture(self) -> str:
        """Returns a line for each future, and one of the weights of the cars."""
        lines = [
            f"{100 * chance:5.1f} % " + " ".join(f"({x:.1f}, {y:.1f})" for x, y in places)
            for chance, places in zip(self.chances, self.places, strict=True)
        ]
        if self.attended:
            shown = ", ".join(f"car {i} {100 * weight:.0f} %" for i, weight in enumerate(self.attended))
            lines.append(f"attention of car 0: {shown}")
        return "\n".join(lines)
