"""Whisper with its tokenizer: the text of a sound, and the time of each word by cross-attention.

References:
  Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022, arXiv:2212.04356; times of
  words as in whisper/timing.py of its authors' package, openai-whisper.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.config import InputError, require
from attnjax.data.sound import HOP, RATE_HZ, log_mel
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.models.decoding.alignment import forced, monotonic_path
from attnjax.models.decoding.generate import generate
from attnjax.models.decoding.rules import rules
from attnjax.models.encoder_decoder import Transformer
from attnjax.nn import Capture
from attnjax.pretrained.folder import CONFIG, from_pretrained
from attnjax.pretrained.tensors import read_json

BATCH_CLIPS = 8
"""Most sounds that are computed together."""
VECTOR_SAMPLES = 2 * HOP
"""Of the encoder: two frames are one, 20 ms."""
MEDIAN_VECTORS = 7
"""The weight of a vector is replaced by the median of so many around it, before words are placed."""
WIDTH = 32
"""Tokens; texts whose words are placed are filled up to multiples of it."""
ENGLISH_VOCAB = 51_864
"""Tokens of a model that knows English alone; others have one more or two."""


class Word(NamedTuple):
    """A word, with the punctuation at it, and when it is said; a pause that a mark stands for is no part."""

    text: str
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class Transcript:
    """What is said in a sound.

    Attributes:
      text: all of it.
      words: of the text; none where nobody asked for times.
      pieces: L, the texts of its tokens, and of the end mark.
      gain: how much each piece looks at each vector of the sound, against the other pieces.
      path: the pieces and vectors that belong together.
    """

    text: str
    words: tuple[Word, ...] = ()
    pieces: tuple[str, ...] = ()
    gain: Float[np.ndarray, "L S"] | None = None
    path: Int[np.ndarray, "2 n"] | None = None


@dataclass(frozen=True)
class SpeechModel:
    """A Whisper with the way from tokens to text.

    Attributes:
      model: which reads frames of sound.
      tokenizer: of the text.
      prompt: the marks that a text begins with, 2 or more.
      end: the mark that ends it.
      heads: layer and head of the cross-attention that tells when words are said.
      never: tokens that are no speech.
      not_first: tokens that no text begins with.
    """

    model: Transformer
    tokenizer: PretrainedTokenizer
    prompt: tuple[int, ...]
    end: int
    heads: tuple[tuple[int, int], ...]
    never: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()

    @property
    def longest_s(self) -> float:
        """The seconds that the model reads at once: 30."""
        vectors = self.model.config.max_vectors
        assert vectors is not None
        return vectors * VECTOR_SAMPLES / RATE_HZ

    def transcripts(
        self, sounds: Sequence[Float[np.ndarray, " n"]], *, words: bool = False
    ) -> Iterator[Transcript]:
        """Yields the text of each sound, the likeliest token after another.

        Args:
          sounds: samples at 16 kHz, no more than `longest_s`.
          words: whether times of words are asked for: they take a second look at the sound.
        """
        rows = min(len(sounds), BATCH_CLIPS)
        for start in range(0, len(sounds), max(rows, 1)):
            own = sounds[start : start + rows]
            yield from self._batch([*own, *[own[-1]] * (rows - len(own))], words)[: len(own)]

    def _batch(self, sounds: Sequence[np.ndarray], words: bool) -> list[Transcript]:
        config = self.model.config
        assert config.frames is not None
        assert config.max_vectors is not None
        count = len(sounds)
        frames = jnp.asarray(
            np.stack([log_mel(x, config.frames, 2 * config.max_vectors) for x in sounds]), jnp.float32
        )
        lengths = jnp.full(count, config.max_vectors)
        first = [[self.prompt[-1], token] for token in self.not_first]
        found = generate(
            self.model,
            frames,
            lengths,
            bos=self.prompt[0],
            eos=self.end,
            pad=self.end,
            max_length=config.max_length // 2,
            rules=rules(banned=[*([token] for token in self.never), *first]),
            prefix=jnp.tile(jnp.array(self.prompt[1:]), (count, 1)),
        )
        tokens, ends = np.asarray(found.tokens), np.asarray(found.lengths)
        begin = len(self.prompt) - 1
        texts = [row[begin:end].tolist() for row, end in zip(tokens, ends, strict=True)]
        if not words:
            return [Transcript(self.tokenizer.decode(text).strip()) for text in texts]
        width = min(tokens.shape[1], -(-(int(ends.max()) + 1) // WIDTH) * WIDTH)
        weights = self._weights(frames, lengths, tokens[:, :width])
        return [
            self.timed(text, weights[:, row, begin : ends[row] + 1], len(sounds[row]))
            for row, text in enumerate(texts)
        ]

    def _weights(self, frames: Array, lengths: Array, tokens: np.ndarray) -> Float[np.ndarray, "H B L S"]:
        """Returns what the chosen heads give each vector when each token is emitted."""
        layers = tuple(sorted({layer for layer, _ in self.heads}))
        graph, params = nnx.split(self.model, nnx.Param)
        given = frames, lengths, jnp.asarray(tokens), jnp.int32(self.prompt[0])
        found = forced(graph, params, *given, Capture(layers=layers))
        of_layer = {i: np.asarray(found[f"decoder.{i}.cross_attention"], np.float32) for i in layers}
        return np.stack([of_layer[layer][:, head] for layer, head in self.heads])

    def timed(self, text: list[int], weights: Float[np.ndarray, "H L S"], samples: int) -> Transcript:
        """Returns a transcript with times, of the weights of its tokens and of the end mark."""
        written = self.tokenizer.decode(text).strip()
        if not text:
            return Transcript(written)
        vectors = max(1, samples // VECTOR_SAMPLES)
        gain = gains(weights[..., :vectors])
        path = monotonic_path(gain)
        # A token is said from the first vector on its part of the path to the first one of the next token.
        begins = np.array([path[1, np.argmax(path[0] == i)] for i in range(len(gain))])
        seconds = begins * VECTOR_SAMPLES / RATE_HZ
        names = self.tokenizer.names(text)
        # "Ġ" is the space in the name of a token that is a part of a character.
        starts = [i for i, name in enumerate(names) if i == 0 or name.startswith((" ", "Ġ"))]
        words = []
        for i, j in zip(starts, [*starts[1:], len(text)], strict=True):
            said, end = self.tokenizer.decode(text[i:j]).strip(), j
            while end > i + 1 and not any(map(str.isalnum, names[end - 1])):
                end -= 1
            words += [Word(said, float(seconds[i]), float(seconds[end]))] if said else []
        return Transcript(written, tuple(words), (*names, "(end)"), gain, path)


def gains(weights: Float[np.ndarray, "H L S"]) -> Float[np.ndarray, "L S"]:
    """Returns how much each token looks at each vector, against what the other tokens do.

    The weights of a head, of which each token has 1 in all, are taken from their mean over tokens in standard
    deviations, their median over seven vectors is taken, and the mean over heads of that.

    Args:
      weights: of the heads.
    """
    from scipy.ndimage import median_filter

    x = weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
    x = (x - x.mean(1, keepdims=True)) / np.maximum(x.std(1, keepdims=True), 1e-12)
    if x.shape[-1] > MEDIAN_VECTORS // 2:
        x = median_filter(x, (1, 1, MEDIAN_VECTORS), mode="mirror")
    return np.asarray(x.mean(0))


def speech_model(folder: str | Path, *, language: str | None = None, dtype: Any = "float32") -> SpeechModel:
    """Returns the Whisper of a folder with its tokenizer.

    Args:
      folder: with config.json, weights and tokenizer.json; of generation_config.json the alignment heads are
        read and the tokens that are never written, where it is there. Without alignment heads those of the
        upper half of the decoder tell the times of words.
      language: such as "de", of a model that knows several.
      dtype: of parameters and computation; None: that of the files.

    Raises:
      InputError: As in `from_pretrained`; the model reads no sound, there is no tokenizer.json, it lacks a
        mark, or the language is not one of the model's.
    """
    folder = Path(folder)
    settings = read_json(folder / CONFIG)
    require(
        settings.get("model_type") == "whisper",
        f"{folder} holds a model of {settings.get('model_type')}: expected whisper, which reads sound",
    )
    file = folder / "generation_config.json"
    generation = read_json(file) if file.is_file() else {}
    tokenizer = PretrainedTokenizer(folder / "tokenizer.json")

    def mark(name: str) -> int:
        number = tokenizer.id(f"<|{name}|>")
        require(number is not None, f"{folder / 'tokenizer.json'} has no <|{name}|>: expected Whisper's")
        assert number is not None
        return number

    several = generation.get("is_multilingual", settings.get("vocab_size", 0) > ENGLISH_VOCAB)
    spoken: tuple[int, ...] = ()
    if several:
        if language is None or tokenizer.id(f"<|{language}|>") is None:
            raise InputError(f"language is {language!r}: {folder} knows several, expected one such as 'de'")
        spoken = mark(language), mark("transcribe")
    require(several or language in (None, "en"), f"language is {language!r}: {folder} knows English alone")
    model = from_pretrained(folder, dtype=dtype)
    assert isinstance(model, Transformer)
    layers, heads = model.config.decoder_layers, model.config.heads
    upper = [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
    chosen = tuple((int(layer), int(head)) for layer, head in generation.get("alignment_heads") or upper)
    unknown = [own for own in chosen if not (0 <= own[0] < layers and 0 <= own[1] < heads)]
    require(not unknown, f"{file} has alignment head {unknown[:1]}: there are {layers} layers of {heads}")
    return SpeechModel(
        model,
        tokenizer,
        (mark("startoftranscript"), *spoken, mark("notimestamps")),
        mark("endoftext"),
        chosen,
        never=tuple(generation.get("suppress_tokens") or ()),
        not_first=tuple(generation.get("begin_suppress_tokens") or ()),
    )
