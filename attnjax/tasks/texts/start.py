"""The start of a model of texts: a pretrained folder, a run, a tokenizer, or the texts alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnjax.config import InputError
from attnjax.data.text.labelled_config import LabelledData
from attnjax.data.text.sentence_ends import sentence_ends
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.experiment.serialize import decode
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.models.sentence_marks import SentenceMarks
from attnjax.pretrained.folder import open_folder

LABELS, TOKENIZER = "labels.json", "tokenizer.json"
"""Files that a run keeps."""


@dataclass(frozen=True)
class TextStart:
    """The shape and the tokenizer that a model of texts begins with."""

    config: EncoderConfig
    vocab: int
    tokenizer: PretrainedTokenizer


def text_start(
    data: LabelledData, model: EncoderConfig, source: Path | None, texts: Callable[[], Sequence[str]]
) -> TextStart:
    """Returns what a saved run, a pretrained folder or, where there is none, the config says.

    Args:
      data: names the tokenizer, where it is not that of the source.
      model: the shape without a source.
      source: the folder of a run of `TextTask` or of a pretrained model; None: there is none.
      texts: gives those that a tokenizer is learned from, where there is neither a source nor a tokenizer.

    Raises:
      InputError: there is no tokenizer where one is named, or the source holds no encoder of texts.
    """
    if source is None:
        if data.tokenizer is None:
            tokenizer = PretrainedTokenizer.learned(texts(), data.vocab_size)
        else:
            tokenizer = _tokenizer(data, Path())
        return TextStart(model, tokenizer.size, tokenizer)
    if (source / LABELS).is_file():
        record = json.loads((source / LABELS).read_text(encoding="utf-8"))
        return TextStart(decode(EncoderConfig, record["config"]), record["vocab"], _tokenizer(data, source))
    found = pretrained_encoder(source)
    return TextStart(found.config, found.embedding.tokens.num_embeddings, _tokenizer(data, source))


def pretrained_encoder(source: Path) -> Encoder:
    """Returns the encoder of a pretrained folder. Raises InputError where there is another model."""
    found = open_folder(source).model
    if not isinstance(found, Encoder):
        raise InputError(
            f"train.init_from is {str(source)!r}: it holds a {type(found).__name__}, expected an encoder of "
            "texts"
        )
    return found


def sentence_marks(tokenizer: PretrainedTokenizer) -> SentenceMarks:
    """Returns the tokens at which sentences end, by their text; the mark behind a text begins none."""
    ends, closing = sentence_ends(tokenizer.names(range(tokenizer.size)))
    return SentenceMarks(ends, closing + tuple(tokenizer.encode("")[-1:]))


def _tokenizer(data: LabelledData, source: Path) -> PretrainedTokenizer:
    place = data.tokenizer or source
    return PretrainedTokenizer(place / TOKENIZER if place.is_dir() else place)
