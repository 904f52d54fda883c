"""Mechanisms as text: `gla`, `(window(size=16) | global_tokens) & entmax`; over layers `kda*3+softmax`."""

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from attnjax.config import InputError, require
from attnjax.mechanisms.base import Kind, Mechanism, Recipe
from attnjax.mechanisms.catalogue import find

MOST_LAYERS = 1000
"""A pattern beyond it is a slip of the keyboard."""

_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """A mechanism with the options that the text gives it.

    Attributes:
      row: its declaration.
      options: what the text gives.
      union: the place in the layer of the masks that it is joined with by |; None where it stands by itself.
    """

    row: Mechanism
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    union: int | None = None

    def filled(self, **of_model: Any) -> "Part":
        """Returns the part with all its options: where not given what a model gives, or their defaults."""
        options = {
            name: self.options.get(name, of_model.get(option.of_model or "", option.default))
            for name, option in self.row.options.items()
        }
        return replace(self, options=MappingProxyType(options))

    def __str__(self) -> str:
        given = ", ".join(f"{name}={_written(x)}" for name, x in self.options.items())
        return f"{self.row.name}({given})" if given else self.row.name


@dataclass(frozen=True)
class Choice:
    """The mechanism of one layer, or softmax attention with parts that are recipes.

    >>> print(read("(window( size =8 )|dilated) & entmax")[0])
    (window(size=8) | dilated) & entmax
    """

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        joined = (" | ".join(map(str, parts)) for parts in self.unions())
        return " & ".join(f"({text})" if " | " in text else text for text in joined)

    def unions(self) -> Iterator[tuple[Part, ...]]:
        """Yields the parts that & joins: each by itself, or masks that | joins."""
        places = (i if part.union is None else -1 - part.union for i, part in enumerate(self.parts))
        for _, found in itertools.groupby(zip(places, self.parts, strict=True), key=lambda pair: pair[0]):
            yield tuple(part for _, part in found)

    @property
    def row(self) -> Mechanism:
        """The mechanism; of several recipes softmax, which they change."""
        return find("softmax") if self.recipes else self.parts[0].row

    @property
    def kind(self) -> Kind:
        """The kind of the mechanism, or of its parts where these are recipes."""
        return "recipe" if self.recipes else self.row.kind

    @property
    def recipes(self) -> tuple[Part, ...]:
        """The parts that are recipes."""
        return tuple(part for part in self.parts if isinstance(part.row, Recipe))

    @classmethod
    def of(cls, name: str) -> "Choice":
        """Returns the choice of a mechanism without options."""
        return cls((Part(find(name)),))

    def of_model(self, **values: Any) -> "Choice":
        """Returns the choice with what a model gives where the text does not, and defaults of recipes.

        >>> print(read("lightning")[0].of_model(layer=1, layers=3, max_length=512))
        lightning(layer=1, layers=3)
        """
        if self.recipes:
            return Choice(tuple(part.filled(**values) for part in self.parts))
        row, given = self.parts[0].row, self.parts[0].options
        of_model = {name: values[o.of_model] for name, o in row.options.items() if o.of_model is not None}
        return Choice((Part(row, MappingProxyType(of_model | dict(given))),))

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the mechanism itself; recipes have their own."""
        return {} if self.recipes else self.parts[0].options


def read(text: str, label: str = "mechanism") -> tuple[Choice, ...]:
    """Returns the choice of each layer of a pattern, once through.

    Args:
      text: mechanisms joined by + are those of one layer after another, `*3` repeats one, and the whole
        pattern repeats over the layers of a model. Recipes are joined by & in one layer, masks by | too: in
        parentheses, where & stands beside it. Options stand in parentheses, each by its name.
      label: what an error calls the text.

    Raises:
      InputError: an unknown mechanism or option, a value out of range, two comparisons or
        normalisers or another kind of mechanism joined by &, or text that is no pattern.

    >>> [str(choice) for choice in read("kda*2 + window(size=16)")]
    ['kda', 'kda', 'window(size=16)']
    >>> read("entmx")
    Traceback (most recent call last):
    attnjax.config.InputError: mechanism is 'entmx': unknown mechanism 'entmx'; did you mean entmax?
    """
    try:
        require(isinstance(text, str), "expected a text, such as gla or kda*3+softmax")
        choices = [choice for item in _split(text, "+") for choice in _repeated(item)]
        require(len(choices) <= MOST_LAYERS, f"it is of {len(choices)} layers, more than {MOST_LAYERS}")
    except InputError as error:
        raise InputError(f"{label} is {text!r}: {error}") from None
    return tuple(choices)


def over_layers(choices: tuple[Choice, ...], layers: int) -> tuple[Choice, ...]:
    """Returns the choice of each of so many layers: the pattern again and again.

    >>> [str(choice) for choice in over_layers(read("kda*3+softmax"), 5)]
    ['kda', 'kda', 'kda', 'softmax', 'kda']
    """
    return tuple(choices[i % len(choices)] for i in range(layers))


def _repeated(item: str) -> Iterable[Choice]:
    whole, *times = _split(item, "*")
    require(len(times) <= 1, f"{item.strip()!r}: expected MECHANISM*LAYERS")
    if not times:
        return [_choice(whole)]
    count = times[0].strip()
    fits = count.isascii() and count.isdecimal() and 1 <= int(count) <= MOST_LAYERS
    require(fits, f"{item.strip()!r}: expected MECHANISM*LAYERS, 1 to {MOST_LAYERS} layers")
    return [_choice(whole)] * int(count)


def _choice(text: str) -> Choice:
    items = _split(text, "&")
    choice = Choice(tuple(part for i, item in enumerate(items) for part in _union(item, i, len(items) == 1)))
    if len(choice.parts) == 1:
        return choice
    for part in choice.parts:
        require(
            isinstance(part.row, Recipe),
            f"{part.row.name} stands alone in its layer: only masks, a comparison, scores, a normaliser and "
            "gates are joined by &",
        )
    names = [part.row.name for part in choice.parts]
    require(len(set(names)) == len(names), f"{' & '.join(names)}: a layer has each part once")
    for role, called in (("comparison", "comparison"), ("normalizer", "normaliser")):
        found = [part.row.name for part in choice.recipes if _role(part) == role]
        require(len(found) <= 1, f"{' & '.join(found)}: a layer has one {called}")
    return choice


def _union(text: str, place: int, alone: bool) -> list[Part]:
    """Returns the masks that | joins, or the one part."""
    inside = re.fullmatch(r"\s*\((.*)\)\s*", text, re.DOTALL)
    items = _split(inside[1] if inside else text, "|")
    if len(items) == 1:
        return [_part(text)]
    require(
        alone or inside is not None,
        f"{text.strip()!r}: expected parentheses around masks joined by | beside &",
    )
    parts = [replace(_part(item), union=place) for item in items]
    for part in parts:
        fits = isinstance(part.row, Recipe) and part.row.role == "mask" and not part.row.widens
        require(fits, f"{part.row.name} is not joined by |: only masks that take tokens away are")
    return parts


def _role(part: Part) -> str:
    assert isinstance(part.row, Recipe)
    return part.row.role


def _part(text: str) -> Part:
    match = _CALL.fullmatch(text)
    if match is None:
        raise InputError(f"{text.strip()!r}: expected a mechanism, such as gla or window(size=16)")
    row = find(match[1])
    return Part(row, MappingProxyType(row.checked(dict(_options(row.name, match[2] or "")))))


def _options(name: str, text: str) -> Iterator[tuple[str, Any]]:
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name), "Of f(size=8)(size=9) the first would get lost."
        assert not call.args
        given = [(keyword.arg, ast.literal_eval(keyword.value)) for keyword in call.keywords]
        assert all(option for option, _ in given)
        assert len(dict(given)) == len(given)
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError, TypeError):
        raise InputError(f"{name}({text}): expected options by name, such as size=16") from None
    yield from given  # type: ignore[misc]


def _split(text: str, mark: str) -> list[str]:
    """The pieces between marks that stand outside of parentheses and brackets."""
    depth, pieces = 0, [""]
    for letter in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if letter == mark and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def _written(x: Any) -> str:
    return str(list(x)) if isinstance(x, tuple) else str(x)
