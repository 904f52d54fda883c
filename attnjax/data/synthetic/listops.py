"""ListOps: expressions whose structure decides what they are worth."""

import random
import statistics
from collections.abc import Callable, Mapping

import numpy as np

from attnjax.data.synthetic.config import ListOpsData
from attnjax.data.synthetic.questions import (
    AS_TRAINED,
    FOUR_TIMES,
    LONGER,
    NOT_ASKED,
    TWICE,
    Arrays,
    Split,
    stretched,
)

OPERATORS: Mapping[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda digits: int(statistics.median(digits)),
    "[SM": lambda digits: sum(digits) % 10,
}
WORDS = (*map(str, range(10)), *OPERATORS, "]", "·")
FIRST_OPERATOR, CLOSE, BLANK = 10, 14, 15
LEAST, MOST_ARGUMENTS = 4, 5


class ListOps:
    """Nested operations on digits: minimum, maximum, median (rounded down), sum modulo 10.

    An operation has 2 to 5 arguments: digits or operations. At each closing bracket the value of what it
    closes is asked, in the paper only at the last one. Expressions of training have 4 … L tokens, all lengths
    the same, and blanks after them; those of longer settings have just 1.5, 2 and 4 times L.

    The paper draws trees by depth. Here an expression of n tokens is an operator, drawn evenly, and a number
    of arguments with which n can be reached, drawn evenly. At least one of them is an operation where digits
    alone do not reach n; what they share is drawn evenly token by token.

    ListOps: a diagnostic dataset for latent tree learning (Nangia & Bowman, 2018, arXiv:1804.06028).

    >>> data = ListOps(ListOpsData(length=12))
    >>> made = data.rows(1, np.random.default_rng(4), "1.5 times as long")
    >>> print(*map(data.word, made["tokens"][0]))
    [MAX 9 9 6 [MED 8 [MED 1 [MED 9 4 9 ] ] 7 ] 3 ]
    >>> print(*map(data.word, [x for x in made["answers"][0] if x != NOT_ASKED]))
    9 5 7 9
    """

    settings = (AS_TRAINED, LONGER, TWICE, FOUR_TIMES)
    vocab = len(WORDS)

    def __init__(self, config: ListOpsData) -> None:
        self.config = config

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting."""
        longest = stretched(self.config.length, setting)
        low = LEAST if setting == AS_TRAINED else longest
        # Thousands of small draws: those of numpy take ten times as long.
        drawing = random.Random(int(rng.integers(2**63)))
        tokens = np.full((count, longest), BLANK, np.int32)
        answers = np.full((count, longest), NOT_ASKED, np.int32)
        for row in range(count):
            written: list[int] = []
            values: dict[int, int] = {}
            _write(drawing.randint(low, longest), drawing, written, values)
            tokens[row, : len(written)] = written
            answers[row, list(values)] = list(values.values())
        return {"tokens": tokens, "answers": answers}

    def word(self, token: int) -> str:
        """Returns a digit, an operator with its bracket, "]" or "·"."""
        return WORDS[token]


def _write(size: int, drawing: random.Random, written: list[int], values: dict[int, int]) -> int:
    """Writes an expression of `size` tokens, with the value of each operation at its end; returns its own."""
    if size == 1:
        written.append(drawing.randrange(10))
        return written[-1]
    name = drawing.choice(list(OPERATORS))
    written.append(WORDS.index(name))
    arguments = [_write(part, drawing, written, values) for part in _parts(size - 2, drawing)]
    value = OPERATORS[name](arguments)
    values[len(written)] = value
    written.append(CLOSE)
    return value


def _parts(size: int, drawing: random.Random) -> list[int]:
    """Returns the sizes of arguments, 1 for a digit and 4 or more for an operation, which sum to `size`."""
    more = LEAST - 1
    counts = [n for n in range(2, MOST_ARGUMENTS + 1) if size == n or size >= n + more]
    parts = [1] * drawing.choice(counts)
    left = size - len(parts)
    if left:
        operations = drawing.sample(range(len(parts)), drawing.randint(1, min(len(parts), left // more)))
        for i in operations:
            parts[i] += more
        for _ in range(left - more * len(operations)):
            parts[drawing.choice(operations)] += 1
    return parts
