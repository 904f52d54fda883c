"""Options of mechanisms: what a config may set, and in which range."""

from dataclasses import dataclass
from typing import Any, Literal

from attnjax.config import InputError

OptionKind = Literal["int", "float", "bool", "ints"]
OfModel = Literal["layer", "layers", "max_length"]

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "ints": "whole numbers in brackets, such as [8, 8]",
}


@dataclass(frozen=True)
class Option:
    """An option of a mechanism that a config can set.

    Attributes:
      default: its value where none is given. None leaves the choice to the layer, as `meaning` says.
      meaning: what it does, one phrase.
      kind: the type of its values.
      least, most: the ends of its range, both inclusive; above: an exclusive lower end.
      of_model: what the model gives it where the config does not: the number of its layer, the number of
        layers, or the config's `max_length`.
      holds: it may not be less than what the model gives: there is room for so many tokens and no more.

    >>> Option(16, "tokens", least=1).check("window: size", 0)
    Traceback (most recent call last):
    attnjax.config.InputError: window: size is 0: expected a whole number, 1 or more
    """

    default: Any
    meaning: str
    kind: OptionKind = "int"
    least: float | None = None
    most: float | None = None
    above: float | None = None
    of_model: OfModel | None = None
    holds: bool = False

    @property
    def expected(self) -> str:
        """Names the type and the range, as in an error."""
        bounds = [
            f"{self.least} or more" if self.least is not None else "",
            f"above {self.above}" if self.above is not None else "",
            f"at most {self.most}" if self.most is not None else "",
        ]
        return ", ".join([_EXPECTED[self.kind], *filter(None, bounds)])

    def check(self, label: str, value: Any) -> Any:
        """Returns the value in the option's type. Raises InputError for another type or one out of range."""
        if value is None and self.default is None:
            return None
        numbers = list(value) if self.kind == "ints" and isinstance(value, (list, tuple)) else [value]
        fits = all(_is_of(number, self.kind) and self._in_range(number) for number in numbers)
        if not fits or not numbers or (self.kind == "ints") != isinstance(value, (list, tuple)):
            raise InputError(f"{label} is {value!r}: expected {self.expected}")
        if not all(_has_32_bits(number, self.kind) for number in numbers):
            raise InputError(f"{label} is {value!r}: expected {self.expected}, which 32 bits can hold")
        return tuple(numbers) if self.kind == "ints" else float(value) if self.kind == "float" else value

    def _in_range(self, x: Any) -> bool:
        return not (
            (self.least is not None and x < self.least)
            or (self.most is not None and x > self.most)
            or (self.above is not None and x <= self.above)
        )


def _is_of(x: Any, kind: OptionKind) -> bool:
    if kind == "bool" or isinstance(x, bool):
        return kind == "bool" and isinstance(x, bool)
    return isinstance(x, int) or (kind == "float" and isinstance(x, float) and abs(x) < float("inf"))


def _has_32_bits(x: Any, kind: OptionKind) -> bool:
    """Returns whether arrays hold it, as int32 or as a float32 that does not become 0 or inf."""
    return x == 0 or 1.2e-38 < abs(x) < (3.4e38 if kind == "float" else 2**31)
