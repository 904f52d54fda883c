"""Strings turned round by a translator: how good it is by the length of the source."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import Corpus, encoded_corpus
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.strings import string_parts
from attnjax.data.text.strings_config import StringsData
from attnjax.data.text.tokenizer import Tokenizer
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.tasks.base import Evaluation, Params
from attnjax.tasks.metrics.text import chrf, exact_match
from attnjax.tasks.translation.evaluation import evaluated
from attnjax.tasks.translation.task import TranslationTask


class StringsTask(TranslationTask):
    """Turns strings round; the final table has a row for each length.

    Args:
      data: the strings.
      config: the model's shape.
      options: of `TranslationTask`.
    """

    def __init__(
        self, data: StringsData, config: TransformerConfig | RecurrentConfig, **options: Any
    ) -> None:
        texts = TranslationData(word_dropout=0.0, share_vocabulary=True, seed=data.seed)
        super().__init__(texts, config, corpus=string_corpus(data, texts), **options)

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns exact match and chrF of each length, samples, and heat maps of attention."""
        parts = {part: examples for part, examples in self._splits.items() if part.startswith("length")}
        outputs = {part: self._outputs(params, examples) for part, examples in parts.items()}
        columns = {"exact match %": exact_match, "chrF": chrf}

        def translate(texts: Sequence[str]) -> Any:
            return self.translate(params, texts)

        drawn = translate if self._attends else None
        return evaluated(parts, outputs, columns=columns, translate=drawn, folder=folder)


def string_corpus(data: StringsData, texts: TranslationData) -> Corpus:
    """Returns the strings, encoded with the letters that there are, whichever were drawn."""
    tokenizer = Tokenizer.train([string.ascii_lowercase[: data.letters]], "characters")
    encoder = TextEncoder(tokenizer, tokenizer, data.beyond, data.beyond + 2)
    return encoded_corpus(string_parts(data), texts, encoder)
