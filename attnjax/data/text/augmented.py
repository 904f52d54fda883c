"""The changes that training makes to a batch at every step: other pieces of its texts, and noise on them."""

import random
from collections.abc import Iterable
from functools import lru_cache

from attnjax.data.hosts import all_rows, host_rows
from attnjax.data.text.config import TranslationData
from attnjax.data.text.encoder import Arrays, TextEncoder
from attnjax.data.text.noise import noised
from attnjax.data.text.rows import Rows
from attnjax.data.text.subwords import Resegmenter
from attnjax.data.text.tokenizer import BOS, EOS, PAD, Tokenizer


def augmented(batch: Arrays, data: TranslationData, encoder: TextEncoder, step: int) -> Arrays:
    """Returns a training batch of a step in other pieces, and with noise, as `data` says."""
    return noised(resegmented(batch, data, encoder, step), data, encoder, step)


def resegmented(batch: Arrays, data: TranslationData, encoder: TextEncoder, step: int) -> Arrays:
    """Returns a batch with its texts in other pieces, which the seed, the step and a text's row decide.

    The shapes stay: a text whose new pieces are too many keeps those that it has.
    """
    if not data.regularised:
        return batch
    rows = host_rows(all_rows(len(batch["source"])))
    dice = [random.Random(f"{data.seed} {step} {row}") for row in range(rows.start, rows.stop)]
    source = _of(encoder.source, data.bpe_dropout, data.unigram_alpha)
    target = _of(encoder.target, data.bpe_dropout, data.unigram_alpha)
    sources = [
        row[:size] for row, size in zip(batch["source"].tolist(), batch["source_lengths"], strict=True)
    ]
    cut = Rows.of(_fitting(source, sources, batch["source"].shape[1], dice))
    width = batch["target"].shape[1] - 2
    targets = [row[1 : row.index(EOS)] for row in batch["target"].tolist()]
    others = Rows.of(_fitting(target, targets, width, dice))
    return {
        **batch,
        "source": cut.padded(batch["source"].shape[1], PAD),
        "source_lengths": cut.lengths,
        "target": others.between(BOS, EOS).padded(width + 2, PAD),
    }


@lru_cache(maxsize=4)
def _of(tokenizer: Tokenizer, dropout: float, alpha: float | None) -> Resegmenter:
    return Resegmenter(tokenizer, dropout=dropout, alpha=alpha)


def _fitting(
    cut: Resegmenter, texts: Iterable[list[int]], width: int, dice: Iterable[random.Random]
) -> list[list[int]]:
    """Returns each text in the pieces that its own dice say, where so many fit."""
    found = ((cut(ids, own), ids) for ids, own in zip(texts, dice, strict=True))
    return [pieces if len(pieces) <= width else ids for pieces, ids in found]
