"""Answers of a trained translator: translations, scores of given ones, and texts to write."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from attnjax.config import require
from attnjax.data.text.config import TranslationData
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.ensemble import Ensemble, Mean
from attnjax.models.decoding.text import TextModel
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.recurrent import RecurrentEncoderDecoder
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.ops.core.node import PytreeNode, static
from attnjax.tasks.base import Params
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.translation.alignment import Translation
from attnjax.tasks.translation.config import SearchConfig
from attnjax.tasks.translation.constraints import (
    ConstrainedText,
    arrays_of,
    constrained,
    phrases_of,
    room_of,
)
from attnjax.tasks.translation.forcing import forced, given_translation, rows_of, target_arrays
from attnjax.tasks.translation.room import Room
from attnjax.tasks.translation.search import (
    consensus,
    row_seeds,
    searched,
    tile_rows,
    translation,
    weights_of,
)

Translator = Transformer | RecurrentEncoderDecoder


class Joined(PytreeNode):
    """The parameters of several models that translate together, and the mean of what they say."""

    each: tuple[Params, ...]
    mean: Mean = static()


class TrainedTranslation(ModelTask[Translator]):
    """The half of a task of translation that a trained model is enough for; the other half trains it.

    Attributes:
      data: what the texts are like.
      config: the model's shape.
      search: the settings of translations.
      encoder: of texts.
    """

    data: TranslationData
    config: TransformerConfig | RecurrentConfig
    search: SearchConfig
    encoder: TextEncoder

    def read_input(self, text: str) -> str:
        """Returns the text. Raises InputError where it is too long."""
        self._room.require([text])
        return text

    def predict(self, params: Params, inputs: Sequence[str | ConstrainedText]) -> list[Translation]:
        """Returns the translation of each text, as `translate` does."""
        return self.translate(params, inputs)

    def constrained(self, given: str, phrases: Sequence[str], place: str = "") -> ConstrainedText:
        """Returns a text whose translation has to have phrases; errors about them begin with the place."""
        return ConstrainedText(given, tuple(phrases), place)

    def beginning(self, text: str) -> str:
        """Returns as much of a text as there is room for."""
        return self._room.beginning(text)

    def too_long(self, text: str, answer: str) -> str:
        """Returns why a source or a target is too long; nothing where neither is."""
        return self._room.too_long(text, answer)

    def score(self, params: Params, inputs: Sequence[str], answers: Sequence[str]) -> list[Translation]:
        """Returns given translations of texts with their log probabilities, by forced decoding.

        They are computed in tiles, as those of `translate`; neither side may be longer than `too_long` says.
        """
        targets = target_arrays(self.encoder, answers, most=self._room.positions)
        scored: dict[int, Translation] = {}
        for own in self.encoder.by_width(inputs, most=self._room.positions):
            arrays = self.encoder.sources([inputs[i] for i in own], most=self._room.positions)
            arrays |= {name: array[own] for name, array in targets.items()}
            found = self.infer(forced, params, arrays, rows=tile_rows())
            for place, one in zip(own, rows_of(found, len(own)), strict=True):
                texts = inputs[place], answers[place]
                scored[place] = given_translation(*texts, one, self.encoder, self._weights_of)
        return [scored[place] for place in range(len(inputs))]

    def writer(self, params: Params) -> TextModel:
        """Returns the model with the tokenizers of both sides."""
        decode = self.encoder.target.decode
        return TextModel(
            self.model(params),
            self._source_ids,
            decode,
            eos=(EOS,),
            bos=BOS,
            pad=PAD,
            names=self.encoder.source.names,
            written_names=self.encoder.target.names,
        )

    def _source_ids(self, text: str) -> list[int]:
        self._room.require([text])
        return self.encoder.source.encode([text])[0]

    def translate(
        self,
        params: Params,
        texts: Sequence[str | ConstrainedText],
        *,
        search: SearchConfig | None = None,
    ) -> list[Translation]:
        """Returns the translation of each text, with the attention of each emitted token over its pieces.

        Texts are computed in tiles of one shape, by their own width: what one gives is the same, bit for bit,
        in any batch.

        Args:
          params: of the model, or `joined` ones of several, which translate as an ensemble.
          texts: to translate, some of them with phrases that their translations have to have.
          search: the settings; None: those of the task.

        Raises:
          InputError: a text is longer than `data.max_source_length`, or phrases cannot be had.
        """
        search = self.search if search is None else search
        if search.samples == 1:
            return self._translated(params, texts, search, 0)
        drawn = [self._translated(params, texts, search, i) for i in range(search.samples)]
        return [row[consensus([one.text for one in row])] for row in zip(*drawn, strict=True)]

    def _translated(
        self, params: Params, given: Sequence[str | ConstrainedText], search: SearchConfig, sample: int
    ) -> list[Translation]:
        asked = [constrained(one) for one in given]
        distinct: dict[tuple[str, tuple[str, ...]], ConstrainedText] = {}
        for one in asked:  # Of equal ones the first, whose place errors name.
            distinct.setdefault((one.text, one.phrases), one)
        answers = dict(
            zip(distinct, self._searched(params, [*distinct.values()], search, sample), strict=True)
        )
        return [answers[one.text, one.phrases] for one in asked]

    def _searched(
        self, params: Params, constraints: Sequence[ConstrainedText], search: SearchConfig, sample: int
    ) -> list[Translation]:
        texts = [one.text for one in constraints]
        self._room.require(texts)
        self._require_attention(search)
        self._room.require_prefix(search.prefix)
        target, most = self.encoder.target, self.encoder.target_width - 1
        rows = self.encoder.source.encode(texts)
        phrases = phrases_of(constraints, np.array([len(row) for row in rows]), search, target, most)
        seeds = row_seeds(rows, search.seed, sample)
        translations: dict[int, Translation] = {}
        for places, room in self._tiles(texts, [room_of(own) for own in phrases]):
            arrays = self.encoder.sources([texts[i] for i in places], most=self._room.positions)
            arrays |= {"seed": seeds[places], **arrays_of([phrases[i] for i in places], room)}
            found = searched(self, params, arrays, search, target, most)
            for place, one in zip(places, rows_of(found, len(places)), strict=True):
                require(
                    not room or one.scores[0] > -np.inf,
                    f"{constraints[place].place}the search found no translation with these constraints: "
                    "other rules of it leave them no place",
                )
                translations[place] = translation(texts[place], one, self.encoder, search, self._weights_of)
        return [translations[place] for place in range(len(texts))]

    def _tiles(self, texts: Sequence[str], rooms: Sequence[int]) -> Iterator[tuple[list[int], int]]:
        """Yields the places of texts that share a program, and their room for the tokens of phrases."""
        for places in self.encoder.by_width(texts, most=self._room.positions):
            for room in dict.fromkeys(rooms[place] for place in places):
                yield [place for place in places if rooms[place] == room], room

    def joined(self, params: Params, others: Sequence[tuple[str, Any, Params]]) -> Joined:
        """Returns the parameters of this task's model and of other runs', which translate as an ensemble.

        They take the mean that the settings of the search have now.

        Args:
          params: of this one.
          others: names, tasks and parameters of runs.

        Raises:
          InputError: a run has another model's shape, or other tokens.
        """
        for name, task, _ in others:
            same = isinstance(task, TrainedTranslation) and task.config == self.config
            require(same, f"{name} is no translator of the same shape: an ensemble needs equal models")
            self.encoder.require_same_tokens(task.encoder, name)
        return Joined((params, *(its for *_, its in others)), self.search.ensemble_mean)

    def model(self, params: Params) -> Any:
        """Returns the model with these parameters; of joined ones, the ensemble."""
        if isinstance(params, Joined):
            models = [super(TrainedTranslation, self).model(each) for each in params.each]
            return Ensemble(models, mean=params.mean)
        return super().model(params)

    @property
    def _weights_of(self) -> str:
        """The layer and the heads that `_alignment` reads, in words."""
        if isinstance(self.config, RecurrentConfig):
            return self.config.weights_of or "no attention"
        return weights_of(self.config)

    @cached_property
    def _room(self) -> Room:
        return Room(self.data, self.config, self.encoder)

    @property
    def _attends(self) -> bool:
        return not isinstance(self.config, RecurrentConfig) or self.config.weights_of is not None

    def _require_attention(self, search: SearchConfig) -> None:
        asked = {
            "coverage_penalty": search.coverage_penalty != "none",
            "replace_unknown": search.replace_unknown,
        }
        for name, needed in asked.items():
            value = getattr(search, name)
            text = f"search.{name} is {value!r}: it needs attention, model.cross_mechanism is None"
            require(self._attends or not needed, text)
