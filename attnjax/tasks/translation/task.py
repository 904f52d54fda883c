"""Machine translation with an encoder-decoder: the embedded dates or a user's parallel corpus."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import jax
from flax import nnx
from jaxtyping import Array, Float, Key

from attnjax.config import require
from attnjax.data.pipeline import Batches
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import Corpus, read_corpus
from attnjax.data.text.encoder import Arrays, TextEncoder
from attnjax.data.text.example import Example
from attnjax.data.text.noise import word_dropout
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.greedy import alignment, greedy_decode
from attnjax.models.encoder_decoder import Transformer
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Evaluation, Params
from attnjax.tasks.inference import in_batches
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.tasks.metrics.text import bleu, chrf, exact_match, words
from attnjax.tasks.translation.alignment import Translation
from attnjax.tasks.translation.report import report

VALIDATION_EXAMPLES = 512
HELD_OUT = ("validation", "test")
NGRAM = 4
"""Words in the longest runs that BLEU counts."""


class TranslationTask:
    """Translates texts with a `Transformer`, trained by label-smoothed cross-entropy on each next token.

    With a `folder` in which `save` left its tokenizers, they are used as they are, and the data is read only
    when it is needed; else data is read and tokenizers are trained at once. `notes` are what a user should
    know of the data before training begins.

    Raises InputError for data that cannot be used, and for texts longer than the model's learned positions.
    """

    def __init__(
        self,
        data: TranslationData,
        model: TransformerConfig,
        *,
        batch_size: int,
        folder: Path | None = None,
    ):
        self._data, self._model, self._batch_size = data, model, batch_size
        if folder is not None and TextEncoder.saved_in(folder):
            self.encoder = TextEncoder.load(folder)
        else:
            self._corpus = read_corpus(data)
            self.encoder = self._corpus.encoder
        self._require_positions(self.encoder.source_width, self.encoder.target_width)
        self._graphdef = nnx.split(nnx.eval_shape(lambda: self._transformer(jax.random.key(0))), nnx.Param)[0]
        self._decode = jax.jit(self._decoded_batch)
        self._align = jax.jit(self._alignment_batch)

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """Exact match for the dates; chrF for a corpus, where whole sentences rarely match."""
        return ("exact_match" if self._data.train is None else "chrf"), "max"

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters of the model, as nested dicts of arrays."""
        return nnx.to_pure_dict(nnx.split(self._transformer(key), nnx.Param)[1])

    def batch(self, step: int) -> Arrays:
        """The arrays of `TextEncoder.arrays` for a step, the source with `data.word_dropout`."""
        batch = self._batches[step]
        if self._data.source_noise == 0:
            return batch
        seed = [self._data.seed, step, jax.process_index()]
        return {**batch, "source": word_dropout(batch["source"], self._data.source_noise, seed)}

    def loss(
        self,
        params: Params,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        label_smoothing: float | Float[Array, ""],
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The `smoothed_cross_entropy` of the target's tokens, without the padding."""
        target, labels = batch["target"][:, :-1], batch["target"][:, 1:]
        output = self._merged(params)(batch["source"], batch["source_lengths"], target, dropout=dropout)
        return smoothed_cross_entropy(output.logits, labels, labels != PAD, label_smoothing)

    def validate(self, params: Params) -> dict[str, float]:
        """Exact match and chrF, in percent, on the first few hundred validation examples."""
        examples = self._validated
        outputs = self._outputs(params, examples)
        references = [example.target for example in examples]
        return {"exact_match": exact_match(outputs, references), "chrf": chrf(outputs, references)}

    def held_out(self) -> Arrays:
        """The examples of `validate`."""
        return self._held_out

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """The table over the test parts, a dozen samples, and heat maps of the decoder's attention."""
        columns = {"exact match %": exact_match, "chrF": chrf}
        labels = {"dates": "held-out dates", "pairs": "unseen locale×format pairs"}
        if self._data.train is not None:
            # BLEU last: it says nothing of short texts.
            columns = {"chrF": chrf, "exact match %": exact_match, "BLEU": bleu}
            labels = {"validation": "validation", "test": "test"}
        parts = {label: self._splits[part] for part, label in labels.items() if self._splits[part]}
        outputs = {label: self._outputs(params, examples) for label, examples in parts.items()}
        translate = partial(self.translate, params)
        return report(parts, outputs, columns=columns, translate=translate, folder=folder)

    def translate(self, params: Params, texts: Sequence[str]) -> list[Translation]:
        """The translation of each text, with the attention of each emitted token over the source's pieces.

        Raises InputError for a text longer than `data.max_source_length`.
        """
        arrays = self.encoder.sources(texts)
        self._require_room(texts, arrays)
        tokens, lengths = in_batches(self._decode, params, arrays)
        weights = in_batches(self._align, params, {**arrays, "tokens": tokens})
        translations = []
        for i, text in enumerate(texts):
            emitted = tokens[i, : lengths[i]].tolist()
            pieces = self.encoder.source.pieces(text)
            names = self.encoder.target.names(emitted)
            seen = weights[i, : len(emitted), : len(pieces)]
            output = self.encoder.target.decode(emitted)
            translations.append(Translation(output, pieces, names, seen, self._weights_of))
        return translations

    def save(self, folder: Path) -> None:
        """Writes the tokenizers, the widths of the arrays and the data's sizes (data.json)."""
        self._corpus.save(folder)
        self.encoder.save(folder)

    @property
    def notes(self) -> list[str]:
        """The corpus's, and where BLEU says nothing of its targets."""
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
    def _splits(self) -> dict[str, list[Example]]:
        return self._corpus.parts

    @property
    def _validated(self) -> list[Example]:
        return self._splits["validation"][:VALIDATION_EXAMPLES]

    @cached_property
    def _held_out(self) -> Arrays:
        return self.encoder.arrays(self._validated)

    @cached_property
    def _corpus(self) -> Corpus:
        return read_corpus(self._data, self.encoder)

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self._corpus.train, self._batch_size, self._data.seed)

    def _transformer(self, key: Key[Array, ""]) -> Transformer:
        sizes = {"source_vocab": self.encoder.source.size, "target_vocab": self.encoder.target.size}
        return Transformer(self._model, **sizes, rngs=nnx.Rngs(key))

    def _merged(self, params: Params) -> Transformer:
        return nnx.merge(self._graphdef, params)

    def _outputs(self, params: Params, examples: Sequence[Example]) -> list[str]:
        arrays = self.encoder.sources([example.source for example in examples])
        tokens, lengths = in_batches(self._decode, params, arrays)
        rows = zip(tokens.tolist(), lengths.tolist(), strict=True)
        return [self.encoder.target.decode(row[:length]) for row, length in rows]

    def _decoded_batch(self, params: Params, arrays: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Greedily emitted tokens [B, T-1] and their number [B]."""
        decoded = greedy_decode(
            self._merged(params),
            arrays["source"],
            arrays["source_lengths"],
            bos=BOS,
            eos=EOS,
            pad=PAD,
            max_length=self.encoder.target_width - 1,
        )
        return decoded.tokens, decoded.lengths

    def _alignment_batch(self, params: Params, arrays: Mapping[str, jax.Array]) -> jax.Array:
        """The last decoder layer's attention over the source [B, T-1, S], as the mean of its heads."""
        return alignment(
            self._merged(params),
            arrays["source"],
            arrays["source_lengths"],
            arrays["tokens"],
            bos=BOS,
            layers=(self._model.decoder_layers - 1,),
        )

    @property
    def _weights_of(self) -> str:
        """What `_alignment_batch` takes, in words."""
        layers, heads = self._model.decoder_layers, self._model.heads
        mean = f"the mean of its {heads} heads" if heads > 1 else "its only head"
        return f"cross-attention of decoder layer {layers} of {layers}, {mean}"

    def _require_room(self, texts: Sequence[str], arrays: Arrays) -> None:
        self._require_positions(arrays["source"].shape[1], self.encoder.target_width)
        for text, length in zip(texts, arrays["source_lengths"].tolist(), strict=True):
            require(
                length <= self._data.max_source_length,
                f"the text {text[:40]!r}… has {length} tokens, data.max_source_length is "
                f"{self._data.max_source_length}",
            )

    def _require_positions(self, *widths: int) -> None:
        require(
            self._model.positions != "learned" or max(widths) <= self._model.max_length,
            f"model.max_length is {self._model.max_length}: the texts need {max(widths)} learned positions",
        )
