"""Machine translation with an encoder-decoder: the embedded dates or a user's parallel corpus."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import jax
from flax import nnx

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
from attnjax.data.text.packed_pairs import PackedPairs
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.generate import generate
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.recurrent import RecurrentEncoderDecoder
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.metrics.text import bleu, chrf, exact_match, words
from attnjax.tasks.translation.answering import TrainedTranslation, Translator
from attnjax.tasks.translation.config import GREEDY, PLAIN_LOSS, SearchConfig, TranslationLoss
from attnjax.tasks.translation.evaluation import evaluated
from attnjax.tasks.translation.losses import require_fits, translation_loss

VALIDATION_EXAMPLES = 512
NGRAM = 4
"""Words in the longest runs that BLEU counts."""


class TranslationTask(TrainedTranslation):
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
        self.data, self.config, self._loss, self._batch_size = data, config, loss, batch_size
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
        return ("exact_match" if self.data.train is None else "chrf"), "max"

    def build(self, rngs: nnx.Rngs) -> Translator:
        """Returns a model over the encoder's vocabularies."""
        sizes = {"source_vocab": self.encoder.source.size, "target_vocab": self.encoder.target.size}
        if isinstance(self.config, RecurrentConfig):
            return RecurrentEncoderDecoder(self.config, **sizes, rngs=rngs)
        return Transformer(self.config, **sizes, rngs=rngs)

    @property
    def row_counts(self) -> Collection[int]:
        """The numbers of rows that batches have."""
        return self._batches.row_counts

    def batch(self, step: int) -> Arrays:
        """Returns the arrays of `TextEncoder.arrays` for a step, `augmented` as the data says.

        Where attention is guided, "alignment" [B, T-1, S] has the share of each source token in each label.
        """
        batch = self._batches[step]
        if self._loss.lambda_align:
            train = self._splits["train"]
            batch["alignment"] = self._alignments([train[row] for row in batch.pop("row").tolist()])
        return augmented(batch, self.data, self.encoder, step)

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
        if self.data.train is not None:
            # BLEU last: it says nothing of short texts.
            columns = {"chrF": chrf, "exact match %": exact_match, "BLEU": bleu}
        parts = self._tested
        outputs = {
            label: [one.text for one in self.translate(params, [example.source for example in examples])]
            for label, examples in parts.items()
        }
        translate = partial(self.translate, params) if self._attends else None
        shown: dict[str, Any] = {"columns": columns, "translate": translate, "folder": folder}
        if self.data.train is not None:
            shown["untagged"] = self._untagged
        return evaluated(parts, outputs, **shown)

    def references(self) -> dict[str, tuple[list[str], list[str]]]:
        """Returns the sources and targets of the parts that `evaluate` has a row for."""
        return {
            label: ([e.source for e in own], [e.target for e in own]) for label, own in self._tested.items()
        }

    def save(self, folder: Path) -> None:
        """Writes the tokenizers, the widths of the arrays and the data's sizes (data.json)."""
        self._corpus.save(folder)
        self.encoder.save(folder)

    @property
    def notes(self) -> list[str]:
        """Those of the corpus, and one where BLEU says nothing of its targets."""
        if self.data.train is None:
            return self._corpus.notes
        targets = [e.target for part, own in self._splits.items() if part != "train" for e in own]
        short = sum(words(target) < NGRAM for target in targets)
        if 2 * short <= len(targets):
            return self._corpus.notes
        share = f"{100 * short / len(targets):.0f} % of the held-out targets have fewer than {NGRAM} words"
        reason = f"BLEU counts runs of {NGRAM} words and is 0 without any: look at chrF and exact match"
        return [*self._corpus.notes, f"{share}. {reason}"]

    def _untagged(self, source: str) -> str:
        """Returns a source without the tag in front of it."""
        tag, _, rest = source.partition(" ")
        return rest if tag in self.data.tags else source

    @property
    def _tested(self) -> dict[str, list[Example]]:
        """The parts of the final table by their names there."""
        labels = {"dates": "held-out dates", "pairs": "unseen locale×format pairs"}
        if self.data.train is not None:
            labels = {part: part for part in self._splits if part != "train"}
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
        return Alignments(self.data, [*self._splits["train"], *self._validated], self.encoder)

    @cached_property
    def _corpus(self) -> Corpus:
        read = disk_corpus if self.data.on_disk else read_corpus
        return read(self.data, self.encoder)

    @cached_property
    def _batches(self) -> Batches | BucketedBatches | PackedPairs:
        numbered = bool(self._loss.lambda_align)
        return training_batches(self._corpus, self.data, self._batch_size, self._chunk, numbered=numbered)

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
