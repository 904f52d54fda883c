"""Sequences whose deciding tokens are known, read by a pretrained encoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from attnjax.config import require
from attnjax.data.synthetic.planted import MASK, PADDING, PlantedSequences
from attnjax.data.text.tokenizer import MARKS, PretrainedTokenizer
from attnjax.tasks.planted import PlantedTask
from attnjax.tasks.texts.start import TOKENIZER, pretrained_encoder

_TABLE = "embedding.tokens.embedding"


class PretrainedPlantedTask(PlantedTask):
    """`PlantedTask` whose encoder has the shape, and begins with the parameters, of a pretrained one.

    Of the pretrained table of tokens it keeps the rows of the words that there are: the sequences, and what
    is asked about them, have the ids of the source. The head is new, over the mean of the tokens.

    Args:
      source: makes the sequences, of words that are tokens of the pretrained encoder.
      folder: of the pretrained encoder and its tokenizer, which `train.init_from` names too.
      options: of `PlantedTask`.

    Raises:
      InputError: the folder holds no encoder of texts, or its tokenizer lacks a word of the source.
    """

    fresh: ClassVar[Sequence[str]] = ("head.*",)
    unused: ClassVar[Sequence[str]] = ("pooler.*", "head.*", "pair.*")

    def __init__(self, source: PlantedSequences, folder: Path, **options: Any) -> None:
        found = pretrained_encoder(folder)
        tokenizer = PretrainedTokenizer(folder / TOKENIZER)
        marks = {PADDING: MARKS[0], MASK: MARKS[4]}
        words = [marks.get(token) or source.word(token) for token in range(source.vocab)]
        ids = [tokenizer.id(word) for word in words]
        unknown = ", ".join(word for word, own in zip(words, ids, strict=True) if own is None)
        require(not unknown, f"train.init_from is {str(folder)!r}: its tokenizer has no token {unknown}")
        self._rows = np.array(ids)
        config = replace(
            found.config,
            head="labels",
            labels=len(source.labels),
            head_activation=None,
            pair_head=False,
            pooling="mean",
            pooler=None,
        )
        super().__init__(source, config, **options)

    def begin_from(self, read: Callable[[], Mapping[str, np.ndarray]], label: str) -> None:
        """Makes the task begin with the pretrained parameters; of the table, with the words' rows."""

        def of_words() -> dict[str, np.ndarray]:
            arrays = dict(read())
            if _TABLE in arrays:
                arrays[_TABLE] = np.asarray(arrays[_TABLE])[self._rows]
            return arrays

        super().begin_from(of_words, label)
