"""Machine translation with an encoder-decoder: the embedded dates or a user's parallel corpus."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import jax
from flax import nnx

from attnjax.config import require
from attnjax.data.pipeline import Batches
from attnjax.data.text.alignments import Alignments
from attnjax.data.text.augmented import augmented
from attnjax.data.text.batches import training_batches
from attnjax.data.text.buckets import BucketedBatches
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import Corpus, read_corpus
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.example import Example
from attnjax.data.text.kept import kept_corpus
from attnjax.data.text.on_disk import disk_corpus
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.ensemble import Ensemble
from attnjax.models.decoding.generate import generate
from attnjax.models.decoding.text import TextModel
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.recurrent import RecurrentEncoderDecoder
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.metrics.text import bleu, chrf, exact_match, words
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.translation.alignment import Translation
from attnjax.tasks.translation.config import GREEDY, PLAIN_LOSS, SearchConfig, TranslationLoss
from attnjax.tasks.translation.evaluation import evaluated
from attnjax.tasks.translation.forcing import forced, given_translation, rows_of, target_arrays
from attnjax.tasks.translation.losses import require_fits, translation_loss
from attnjax.tasks.translation.room import Room
from attnjax.tasks.translation.search import ROWS, consensus, row_seeds, searching, translation, weights_of

VALIDATION_EXAMPLES = 512
HELD_OUT = ("validation", "test")
NGRAM = 4
"""Words in the longest runs that BLEU counts."""
Translator = Transformer | RecurrentEncoderDecoder


class TranslationTask(ModelTask[Translator]):
    """Translates texts with a model of an encoder and a decoder, trained to tell each next token.

    Args:
      data: the texts.
      config: the model's shape.
      loss: the loss's settings.
      batch_size: of all hosts together.
      folder: where `save` left tokenizers: they are used as they are, and the data is read only when it is
        needed. Else data is read and tokenizers are trained at once.
      search: for translations, in `evaluate` and `predict`; `validate` takes the likeliest token.
      chunk: steps whose batches have to share a shape, as those between two rows of the metrics.
      corpus: the texts, where they are not those that `data` names.

    Raises:
      InputError: the data cannot be used, or its texts are longer than the model's learned positions.
    """

    def __init__(
        self,
        data: TranslationData,
        config: TransformerConfig | RecurrentConfig,
        *,
        loss: TranslationLoss = PLAIN_LOSS,
        batch_size: int,
        folder: Path | None = None,
        search: SearchConfig = GREEDY,
        chunk: int = 1,
        corpus: Corpus | None = None,
    ) -> None:
        self.search, self._chunk = search, chunk
        self._data, self.config, self._loss, self._batch_size = data, config, loss, batch_size
        require_fits(config, loss, data)
        self._require_attention(search)
        if corpus is not None:
            self._corpus, self.encoder = corpus, corpus.encoder
        elif folder is not None and TextEncoder.saved_in(folder):
            self.encoder = TextEncoder.load(folder)
        else:
            # A corpus that was kept has no examples of training, whose alignment could be told.
            kept = read_corpus if loss.lambda_align else kept_corpus
            self._corpus = disk_corpus(data) if data.on_disk else kept(data)
            self.encoder = self._corpus.encoder
        self._room.require_positions(self.encoder.source_width, self.encoder.target_width)

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """Exact match for the dates; chrF for a corpus, where whole sentences rarely match."""
        return ("exact_match" if self._data.train is None else "chrf"), "max"

    def build(self, rngs: nnx.Rngs) -> Translator:
        """Returns a model over the encoder's vocabularies."""
        sizes = {"source_vocab": self.encoder.source.size, "target_vocab": self.encoder.target.size}
        if isinstance(self.config, RecurrentConfig):
            return RecurrentEncoderDecoder(self.config, **sizes, rngs=rngs)
        return Transformer(self.config, **sizes, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns the arrays of `TextEncoder.arrays` for a step, `augmented` as the data says.

        Where attention is guided, "alignment" [B, T-1, S] has the share of each source token in each label.
        """
        batch = self._batches[step]
        if self._loss.lambda_align:
            train = self._splits["train"]
            batch["alignment"] = self._alignments([train[row] for row in batch.pop("row").tolist()])
        return augmented(batch, self._data, self.encoder, step)

    def loss_of(
        self,
        model: Translator,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the `translation_loss`."""
        smoothing = hyper.get("label_smoothing", self._loss.label_smoothing)
        return translation_loss(model, batch, self._loss, label_smoothing=smoothing, dropout=dropout)

    def validate(self, params: Params) -> dict[str, float]:
        """Returns exact match and chrF, in percent, on the first few hundred validation examples."""
        examples = self._validated
        outputs = self._outputs(params, examples)
        references = [example.target for example in examples]
        return {"exact_match": exact_match(outputs, references), "chrf": chrf(outputs, references)}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns a table over the test parts, a dozen samples, and heat maps of the decoder's attention."""
        columns = {"exact match %": exact_match, "chrF": chrf}
        if self._data.train is not None:
            # BLEU last: it says nothing of short texts.
            columns = {"chrF": chrf, "exact match %": exact_match, "BLEU": bleu}
        parts = self._tested
        outputs = {
            label: [one.text for one in self.translate(params, [example.source for example in examples])]
            for label, examples in parts.items()
        }
        translate = partial(self.translate, params) if self._attends else None
        return evaluated(parts, outputs, columns=columns, translate=translate, folder=folder)

    def references(self) -> dict[str, tuple[list[str], list[str]]]:
        """Returns the sources and targets of the parts that `evaluate` has a row for."""
        return {
            label: ([e.source for e in own], [e.target for e in own]) for label, own in self._tested.items()
        }

    def read_input(self, text: str) -> str:
        """Returns the text. Raises InputError where it is too long."""
        self._room.require([text])
        return text

    def predict(self, params: Params, inputs: Sequence[str]) -> list[Translation]:
        """Returns the translation of each text, as `translate` does."""
        return self.translate(params, inputs)

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
            found = self.infer(forced, params, arrays, rows=ROWS)
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
        self, params: Params, texts: Sequence[str], *, search: SearchConfig | None = None
    ) -> list[Translation]:
        """Returns the translation of each text, with the attention of each emitted token over its pieces.

        Texts are computed in tiles of one shape, by their own width: what one gives is the same, bit for bit,
        in any batch.

        Args:
          params: of the model, or a list of those of several, which translate as an ensemble.
          texts: to translate.
          search: the settings; None: those of the task.

        Raises:
          InputError: a text is longer than `data.max_source_length`.
        """
        search = self.search if search is None else search
        if search.samples == 1:
            return self._translated(params, texts, search, 0)
        drawn = [self._translated(params, texts, search, i) for i in range(search.samples)]
        return [row[consensus([one.text for one in row])] for row in zip(*drawn, strict=True)]

    def _translated(
        self, params: Params, texts: Sequence[str], search: SearchConfig, sample: int
    ) -> list[Translation]:
        self._room.require(list(texts))
        self._require_attention(search)
        self._room.require_prefix(search.prefix)
        search_for = searching(search, self.encoder.target, self.encoder.target_width - 1)
        translations: dict[int, Translation] = {}
        seeds = row_seeds(self.encoder.source.encode(texts), search.seed, sample)
        for places in self.encoder.by_width(texts, most=self._room.positions):
            arrays = self.encoder.sources([texts[i] for i in places], most=self._room.positions)
            found = self.infer(search_for, params, {**arrays, "seed": seeds[places]}, rows=ROWS)
            for place, one in zip(places, rows_of(found, len(places)), strict=True):
                translations[place] = translation(texts[place], one, self.encoder, search, self._weights_of)
        return [translations[place] for place in range(len(texts))]

    def joined(self, params: Params, others: Sequence[tuple[str, Any, Params]]) -> list[Params]:
        """Returns the parameters of this task's model and of other runs', which translate as an ensemble.

        Args:
          params: of this one.
          others: names, tasks and parameters of runs.

        Raises:
          InputError: a run has another model's shape, or other tokens.
        """
        for name, task, _ in others:
            same = isinstance(task, TranslationTask) and task.config == self.config
            require(same, f"{name} is no translator of the same shape: an ensemble needs equal models")
            self.encoder.require_same_tokens(task.encoder, name)
        return [params, *(its for *_, its in others)]

    def model(self, params: Params) -> Any:
        """Returns the model with these parameters; of a list of them, the ensemble."""
        if isinstance(params, list | tuple):
            return Ensemble([super(TranslationTask, self).model(each) for each in params])
        return super().model(params)

    def save(self, folder: Path) -> None:
        """Writes the tokenizers, the widths of the arrays and the data's sizes (data.json)."""
        self._corpus.save(folder)
        self.encoder.save(folder)

    @property
    def notes(self) -> list[str]:
        """Those of the corpus, and one where BLEU says nothing of its targets."""
        if self._data.train is None:
            return self._corpus.notes
        targets = [example.target for part in HELD_OUT for example in self._splits[part]]
        short = sum(words(target) < NGRAM for target in targets)
        if 2 * short <= len(targets):
            return self._corpus.notes
        share = f"{100 * short / len(targets):.0f} % of the held-out targets have fewer than {NGRAM} words"
        reason = f"BLEU counts runs of {NGRAM} words and is 0 without any: look at chrF and exact match"
        return [*self._corpus.notes, f"{share}. {reason}"]

    @property
    def _tested(self) -> dict[str, list[Example]]:
        """The parts of the final table by their names there."""
        labels = {"dates": "held-out dates", "pairs": "unseen locale×format pairs"}
        if self._data.train is not None:
            labels = {"validation": "validation", "test": "test"}
        return {label: self._splits[part] for part, label in labels.items() if self._splits[part]}

    @property
    def _splits(self) -> dict[str, list[Example]]:
        return self._corpus.parts

    @property
    def _validated(self) -> list[Example]:
        return self._splits["validation"][:VALIDATION_EXAMPLES]

    @cached_property
    def validation(self) -> Arrays:
        """The examples of `validate` as arrays."""
        arrays = self.encoder.arrays(self._validated)
        if self._loss.lambda_align:
            arrays["alignment"] = self._alignments(self._validated)
        return arrays

    @cached_property
    def _alignments(self) -> Alignments:
        return Alignments(self._data, [*self._splits["train"], *self._validated], self.encoder)

    @cached_property
    def _corpus(self) -> Corpus:
        read = disk_corpus if self._data.on_disk else read_corpus
        return read(self._data, self.encoder)

    @cached_property
    def _batches(self) -> Batches | BucketedBatches:
        numbered = bool(self._loss.lambda_align)
        return training_batches(self._corpus, self._data, self._batch_size, self._chunk, numbered=numbered)

    def _outputs(self, params: Params, examples: Sequence[Example]) -> list[str]:
        arrays = self.encoder.sources([example.source for example in examples], most=self._room.positions)
        tokens, lengths = self.infer(self._decoded, params, arrays)
        rows = zip(tokens.tolist(), lengths.tolist(), strict=True)
        return [self.encoder.target.decode(row[:length]) for row, length in rows]

    def _decoded(self, model: Translator, arrays: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Returns greedily emitted tokens [B, T-1] and their number [B]."""
        decoded = generate(
            model,
            arrays["source"],
            arrays["source_lengths"],
            bos=BOS,
            eos=EOS,
            pad=PAD,
            max_length=self.encoder.target_width - 1,
        )
        return decoded.tokens, decoded.lengths

    @property
    def _weights_of(self) -> str:
        """The layer and the heads that `_alignment` reads, in words."""
        if isinstance(self.config, RecurrentConfig):
            return self.config.weights_of or "no attention"
        return weights_of(self.config)

    @cached_property
    def _room(self) -> Room:
        return Room(self._data, self.config, self.encoder)

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
