"""State tracking: words of a group, multiplied out as they are read."""

import itertools

import numpy as np
from jaxtyping import Int

from attnjax.data.synthetic.config import GroupWordsData
from attnjax.data.synthetic.questions import AS_TRAINED, FOUR_TIMES, LONGER, TWICE, Arrays, Split, stretched

_THINGS = {"Z2": 2, "S3": 3, "S5": 5}


class GroupWords:
    """Elements of a group, drawn evenly; at each the product of all so far is asked.

    A token is a permutation of 2 (parity), 3 or 5 things, 0 the one that moves nothing. x₁ acts first: the
    product after t tokens takes thing i to x_t(… x₁(i)). Words of the longer settings have more elements.
    Guessing is right once in 2, 6 and 120 times.

    Transformers learn shortcuts to automata (Liu et al., 2022, arXiv:2210.10749); The illusion of state in
    state-space models (Merrill et al., 2024, arXiv:2404.08819).

    >>> data = GroupWords(GroupWordsData("S3", length=5))
    >>> made = data.rows(1, np.random.default_rng(0))
    >>> print(*map(data.word, made["tokens"][0]))
    (13) (123) (123) (23) (23)
    >>> print(*map(data.word, made["answers"][0]))
    (13) (23) (12) (132) (12)
    """

    settings = (AS_TRAINED, LONGER, TWICE, FOUR_TIMES)

    def __init__(self, config: GroupWordsData) -> None:
        self.config = config
        self._elements = list(itertools.permutations(range(_THINGS[config.group])))
        self._then = _products(np.array(self._elements))

    @property
    def vocab(self) -> int:
        """The number of elements."""
        return len(self._elements)

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting."""
        length = stretched(self.config.length, setting)
        tokens = rng.integers(0, self.vocab, (count, length), dtype=np.int32)
        answers = np.empty_like(tokens)
        product = np.zeros(count, np.int32)
        for t in range(length):
            product = self._then[product, tokens[:, t]]
            answers[:, t] = product
        return {"tokens": tokens, "answers": answers}

    def word(self, token: int) -> str:
        """Returns the cycles of an element, "e" for the one that moves nothing."""
        element, cycles, seen = self._elements[token], "", set[int]()
        for first in range(len(element)):
            if element[first] == first or first in seen:
                continue
            cycle = [first]
            while (after := element[cycle[-1]]) != first:
                cycle.append(after)
            seen.update(cycle)
            cycles += f"({''.join(str(thing + 1) for thing in cycle)})"
        return cycles or "e"


def _products(elements: Int[np.ndarray, "G n"]) -> Int[np.ndarray, "G G"]:
    """Returns the number of the element that acts as the row's and then as the column's."""
    base = elements.shape[1] ** np.arange(elements.shape[1])
    after = elements[:, elements]  # [column, row, thing]: what the column's makes of the row's.
    number = np.full(int((elements @ base).max()) + 1, -1, np.int32)
    number[elements @ base] = np.arange(len(elements))
    return number[(after @ base).T]
