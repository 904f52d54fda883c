"""Summaries by an encoder-decoder that may copy: docstrings and their first lines, or texts of one's own."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from attnjax.config import require
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.example import Example
from attnjax.data.text.summaries import SummaryCorpus, summary_corpus
from attnjax.data.text.summaries_config import SummaryData
from attnjax.data.text.words import again_spaced, beginning, spaced
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.tasks.base import Evaluation, Params
from attnjax.tasks.metrics.summaries import require_rouge, rouge, share
from attnjax.tasks.pictures import save
from attnjax.tasks.summaries.copies import masked_where_it_looks, traced, written_words
from attnjax.tasks.summaries.scores import commonest, lead, nearest_sentences, summary_scores, words_in_text
from attnjax.tasks.summaries.summary import Summary
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.tasks.translation.constraints import ConstrainedText, constrained
from attnjax.tasks.translation.forcing import target_arrays
from attnjax.tasks.translation.search import tile_rows
from attnjax.tasks.translation.task import TranslationTask

TRAINED_ON = 256
"""Texts of training whose summaries are scored too."""
MASKED = 128
"""Test texts in which a token is masked."""
SHOWN = 8
"""Summaries of a table of samples."""


class SummaryTask(TranslationTask):
    """Writes summaries with a model of an encoder and a decoder, trained as a translator of texts is.

    Args:
      summaries: the texts.
      config: the model's shape.
      loss: the loss's settings.
      batch_size: of all hosts together.
      folder: where `save` left the tokenizer: the texts are read only when they are needed.
      search: for summaries, in `evaluate` and `predict`; `validate` takes the likeliest token.
      chunk: steps whose batches share a shape.

    Raises:
      InputError: the data cannot be used, or ROUGE is not installed where texts are read.
    """

    def __init__(
        self,
        summaries: SummaryData,
        config: TransformerConfig | RecurrentConfig,
        *,
        loss: TranslationLoss,
        batch_size: int,
        folder: Path | None = None,
        search: SearchConfig,
        chunk: int = 1,
    ) -> None:
        require(
            not loss.lambda_align,
            f"loss.lambda_align is {loss.lambda_align}: nobody knows the alignment of summaries, expected 0",
        )
        self.summaries, corpus = summaries, None
        if folder is None or not TextEncoder.saved_in(folder):
            require_rouge()
            corpus = summary_corpus(summaries)
        options: dict[str, Any] = {"batch_size": batch_size, "folder": folder, "search": search}
        super().__init__(summaries.pairs, config, loss=loss, chunk=chunk, corpus=corpus, **options)

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """ROUGE-L of the validation part."""
        return "rouge_l", "max"

    def read_input(self, text: str) -> str:
        """Returns the words of a text. Raises InputError where there is none, or too many."""
        require(any(map(str.isalnum, text)), f"the text {text[:40]!r} has no word")
        return super().read_input(spaced(text))

    def beginning(self, text: str) -> str:
        """Returns as many of the words of a text as the model reads."""
        return beginning(spaced(text), self.encoder.source, self.data.max_source_length)

    def too_long(self, text: str, answer: str) -> str:
        """Returns why a text or a summary is too long; nothing where neither is."""
        return super().too_long(spaced(text), spaced(answer))

    def score(self, params: Params, inputs: Sequence[str], answers: Sequence[str]) -> list[Any]:
        """Returns given summaries of texts with their log probabilities."""
        return list(super().score(params, list(map(spaced, inputs)), list(map(spaced, answers))))

    def translate(
        self, params: Params, texts: Sequence[str | ConstrainedText], *, search: SearchConfig | None = None
    ) -> list[Any]:
        """Returns the summary of each text, with the words that were copied; an ensemble tells none."""
        given = [_spaced(constrained(text)) for text in texts]
        written = super().translate(params, given, search=search)
        if isinstance(params, list | tuple) or not self._attends:
            return [Summary.of(one, ()) for one in written]
        outputs = [again_spaced(one.text) for one in written]
        found = self._traced(params, self._arrays([own.text for own in given], outputs))
        pieces = [self.encoder.source.pieces(own.text) for own in given]
        targets = [self.encoder.target.pieces(text) for text in outputs]
        summaries = []
        for one, source, target, weights, copied in zip(
            written, pieces, targets, found.weights, found.copied, strict=True
        ):
            shares = copied[: len(target)] if self.config.copy else None
            words = written_words(weights[: len(target), : len(source)], shares, source, target)
            summaries.append(Summary.of(one, words))
        return summaries

    def validate(self, params: Params) -> dict[str, float]:
        """Returns ROUGE of the likeliest tokens for the validation texts."""
        found = rouge(self._outputs(params, self._validated), [e.target for e in self._validated])
        return {name.lower().replace("-", "_"): score for name, score in found.items()}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns ROUGE of the model and what it has to pass, what was copied, and what masking changes."""
        parts = {**self._tested, "training": self._splits["train"][:TRAINED_ON]}
        written = {part: self.translate(params, [e.source for e in own]) for part, own in parts.items()}
        metrics = {}
        for part, examples in parts.items():
            metrics[part] = summary_scores([one.text for one in written[part]], examples)
            if self.config.copy:
                every = [word for one in written[part] for word in one.words]
                metrics[part]["copied %"] = share([(word.copied, 1) for word in every])
        test = parts["test"]
        others = {
            "LEAD-1": list(map(lead, test)),
            "the nearest sentence": nearest_sentences(test),
            "its words in the text": list(map(words_in_text, test)),
            "the commonest": [commonest(self._splits["train"])] * len(test),
            "the summaries themselves": [example.target for example in test],
        }
        metrics |= {name: summary_scores(outputs, test) for name, outputs in others.items()}
        if self._attends:
            metrics |= self._masked(params, test[:MASKED], written["test"][:MASKED])
        return Evaluation(
            metrics, _samples(test, written["test"]), self._draw(metrics, written["test"], folder)
        )

    @property
    def _tested(self) -> dict[str, list[Example]]:
        return {part: self._splits[part] for part in ("test", "validation")}

    @cached_property
    def _corpus(self) -> SummaryCorpus:  # type: ignore[override]
        return summary_corpus(self.summaries, self.encoder)

    def _source_ids(self, text: str) -> list[int]:
        return super()._source_ids(spaced(text))

    def _arrays(self, texts: Sequence[str], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        sources = self.encoder.sources(texts, most=self._room.positions)
        return sources | target_arrays(self.encoder, outputs, most=self._room.positions)

    def _traced(self, params: Params, arrays: dict[str, np.ndarray]) -> Any:
        return self.infer(traced, params, arrays, rows=tile_rows())

    def _masked(
        self, params: Params, examples: Sequence[Example], written: Sequence[Summary]
    ) -> dict[str, dict[str, float]]:
        """Returns what the log probability of a token loses as what it looks at, or another, is masked."""
        arrays = self._arrays([e.source for e in examples], [again_spaced(one.text) for one in written])
        before = self._traced(params, arrays)
        rng = np.random.default_rng(self.data.seed)
        tokens, masked = masked_where_it_looks(arrays, before.weights, rng)
        rows = np.arange(len(tokens))
        found = {}
        for name, changed in masked.items():
            lost = before.log_probs - self._traced(params, changed).log_probs
            found[f"masked {name}"] = {"log p lost": float(lost[rows, tokens].mean())}
        return found

    def _draw(
        self, metrics: dict[str, dict[str, float]], written: Sequence[Summary], folder: Path
    ) -> list[Path]:
        from attnjax.tasks.summaries.picture import summaries_figure

        path = folder / "summaries.png"
        save(summaries_figure(metrics, self._splits["test"], written), path)
        return [path]


def _samples(examples: Sequence[Example], written: Sequence[Summary]) -> list[dict[str, str]]:
    """Returns summaries evenly from all, each with its text and the words that were copied."""
    chosen = np.unique(np.linspace(0, len(examples) - 1, SHOWN).astype(int)).tolist()
    return [
        {
            "of": examples[i].group,
            "text": examples[i].source.strip()[:200],
            "summary": written[i].text,
            "reference": examples[i].target.strip(),
            "copied": " ".join(word.word for word in written[i].words if word.copied),
        }
        for i in chosen
    ]


def _spaced(given: ConstrainedText) -> ConstrainedText:
    """Returns a text and its phrases with words apart, as the model knows them."""
    phrases = tuple(spaced(phrase).strip() for phrase in given.phrases)
    return dataclasses.replace(given, text=spaced(given.text), phrases=phrases)
