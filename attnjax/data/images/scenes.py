"""Drawn scenes of two groups of things, with captions, and the true place of each word."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from attnjax.data.images.config import SceneData
from attnjax.data.images.mosaics import stencils
from attnjax.data.synthetic.questions import Split, stream

SIDE = 40
"""Pixels of an image."""
CELL = 8
"""Pixels of a side of a cell, in which one thing lies."""
SEEN, UNSEEN = "held-out scenes", "unseen combinations"
COLOURS = {"red": (220, 50, 50), "green": (60, 190, 80), "blue": (70, 100, 240), "yellow": (230, 210, 70)}
SHAPES = ("square", "disc", "ring", "triangle", "cross")
COUNTS = ("a", "two", "three")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OPPOSITE = {"left of": "right of", "above": "below"}
"""The relation of the first group to the second, and of the second to the first."""
_THING = 6
"""Pixels of a side of a thing."""
_DARKEST = 60
"""The greatest grey of a background."""


class Scene(NamedTuple):
    """The things of an image, in words.

    Attributes:
      phrases: the words for the first and the second group, such as "a red ring".
      relation: of the first group to the second: "left of" or "above".
    """

    phrases: tuple[str, str]
    relation: str

    @property
    def captions(self) -> tuple[str, str]:
        """Both ways to say it.

        >>> Scene(("three", "seven"), "above").captions
        ('three above seven', 'seven below three')
        """
        first, second = self.phrases
        return f"{first} {self.relation} {second}", f"{second} {OPPOSITE[self.relation]} {first}"

    def regions(self, caption: str) -> tuple[int, ...]:
        """Returns for each word of one of the captions which group it is said of, 1 or 2; 0 of none.

        >>> Scene(("three", "seven"), "above").regions("seven below three")
        (2, 0, 1)
        """
        turned = self.captions.index(caption)
        groups = (2, 1) if turned else (1, 2)
        lengths = [len(self.phrases[group - 1].split()) for group in groups]
        between = len(caption.split()) - sum(lengths)
        return (groups[0],) * lengths[0] + (0,) * between + (groups[1],) * lengths[1]


class Scenes(NamedTuple):
    """Images, what they show, and whose pixels are whose.

    Attributes:
      images: pixels, 0 to 255.
      shown: what each shows.
      owner: for each pixel the group, 1 or 2, in the box of one of whose things it lies; 0 for none.
    """

    images: UInt8[np.ndarray, "n Y X C"]
    shown: list[Scene]
    owner: UInt8[np.ndarray, "n Y X"]


def scenes(data: SceneData, count: int, part: Split, *, unseen: bool = False) -> Scenes:
    """Returns drawn scenes.

    A group lies in two by two of five by five cells, the two side by side or one above the other with a cell
    between them, so that one relation holds and no other. A fifth of the combinations of colour and shape (of
    one digit with another) is kept from training: they are in every scene of `unseen`, in one of both groups
    at least.

    Args:
      data: the kind, the noise and the seed.
      count: of scenes.
      part: whose randomness it is.
      unseen: whether each scene has a combination that is kept from training; else none has.

    Example:
      >>> made = scenes(SceneData(kind="digits"), 2, Split.TRAIN)
      >>> made.images.shape, made.shown[0].captions[0]
      ((2, 40, 40, 1), 'five left of two')
    """
    rng = stream(data.seed, part, int(unseen))
    channels = 1 if data.kind == "digits" else 3
    grey = rng.integers(0, _DARKEST, (count, 1, 1, 1))
    images = np.broadcast_to(grey, (count, SIDE, SIDE, channels)).astype(np.float32)
    owner = np.zeros((count, SIDE, SIDE), np.uint8)
    shown = []
    things = _digits(rng, unseen) if data.kind == "digits" else _shapes(rng, unseen)
    for image, owned in zip(images, owner, strict=True):
        (first, second), phrases = next(things)
        relation = ("left of", "above")[rng.integers(2)]
        shift = int(rng.integers(4))
        for group, (own, stencil, colour) in enumerate((first, second)):
            places = rng.permutation(4)[:own]
            for row, column in zip(*np.divmod(places, 2), strict=True):
                across, down = (3 * group, shift) if relation == "left of" else (shift, 3 * group)
                height, width = stencil.shape
                y, x = rng.integers(0, (CELL - height + 1, CELL - width + 1))
                top, left = (int(row) + down) * CELL + int(y), (int(column) + across) * CELL + int(x)
                box = slice(top, top + height), slice(left, left + width)
                image[box][stencil] = colour
                owned[box] = group + 1
        shown.append(Scene(phrases, relation))
    images += 255 * data.noise * rng.standard_normal(images.shape, np.float32)
    return Scenes(np.clip(np.rint(images), 0, 255).astype(np.uint8), shown, owner)


Thing = tuple[int, np.ndarray, tuple[int, ...]]
"""The number of a thing, its pixels, and their colour."""


def _shapes(rng: np.random.Generator, unseen: bool) -> Iterator[tuple[tuple[Thing, Thing], tuple[str, str]]]:
    drawn = [stencil(shape) for shape in SHAPES]
    while True:
        colours, shapes = rng.integers(0, len(COLOURS), 2), rng.integers(0, len(SHAPES), 2)
        counts = rng.integers(0, len(COUNTS), 2)
        kept = (colours + shapes) % 5 == 0
        same = colours[0] == colours[1] and shapes[0] == shapes[1]
        if bool(kept.any()) != unseen or same:
            continue
        names, values = list(COLOURS), list(COLOURS.values())
        groups, phrases = [], []
        for colour, shape, count in zip(colours, shapes, counts, strict=True):
            groups.append((int(count) + 1, drawn[shape], values[colour]))
            plural = "" if count == 0 else "es" if SHAPES[shape].endswith("s") else "s"
            phrases.append(f"{COUNTS[count]} {names[colour]} {SHAPES[shape]}{plural}")
        yield (groups[0], groups[1]), (phrases[0], phrases[1])


def _digits(rng: np.random.Generator, unseen: bool) -> Iterator[tuple[tuple[Thing, Thing], tuple[str, str]]]:
    drawn = stencils()
    while True:
        first, second = rng.integers(0, 10, 2).tolist()
        if ((first + second) % 5 == 0) != unseen:
            continue
        groups = [(1, drawn[digit].astype(bool), (255,)) for digit in (first, second)]
        yield (groups[0], groups[1]), (NUMBERS[first], NUMBERS[second])


def stencil(shape: str, side: int = _THING) -> Bool[np.ndarray, "side side"]:
    """Returns the pixels of one of `SHAPES`.

    >>> for row in stencil("ring"):
    ...     print("".join("#" if pixel else "·" for pixel in row))
    ·####·
    ##··##
    #····#
    #····#
    ##··##
    ·####·
    """
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    far = np.hypot(y, x)
    made: dict[str, np.ndarray] = {
        "square": far < np.inf,
        "disc": far <= side / 2,
        "ring": (far <= side / 2) & (far > 1.6 * side / _THING),
        "triangle": np.abs(x) <= (y + side / 2) / 2,
        "cross": (np.abs(x) < side / _THING) | (np.abs(y) < side / _THING),
    }
    return made[shape]
