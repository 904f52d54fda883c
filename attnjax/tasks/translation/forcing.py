"""Forced decoding of given translations: their probability, and where each of their pieces looks."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models.decoding.scoring import Forced, force
from attnjax.tasks.translation.alignment import Translation


def forced(model: Any, arrays: Mapping[str, jax.Array]) -> Forced:
    """Returns `force` of "target" [B, L], of which "counts" [B] tokens count, the end mark among them."""
    return force(
        model, arrays["source"], arrays["source_lengths"], arrays["target"], counts=arrays["counts"], bos=BOS
    )


def target_arrays(
    encoder: TextEncoder, texts: Sequence[str], *, most: int | None = None
) -> dict[str, np.ndarray]:
    """Returns "target" and "counts" of texts with their end marks.

    They are as wide as those that are searched for, or twice that, four times, … where a text is longer, but
    at most `most`.
    """
    rows = encoder.target.rows(texts).between(BOS, EOS)
    width = encoder.target_width
    while width < rows.lengths.max(initial=0):
        width *= 2
    width = width if most is None else min(width, most)
    return {"target": rows.padded(width, PAD)[:, 1:], "counts": rows.lengths - 1}


def rows_of(found: Any, count: int) -> list[Any]:
    """Returns the first rows of a tree of arrays, as trees.

    >>> rows_of({"x": np.arange(3)}, 2)[1]["x"].item()
    1
    """
    return [jax.tree.map(lambda x, row=row: x[row], found) for row in range(count)]


def given_translation(
    source: str, target: str, found: Forced, encoder: TextEncoder, weights_of: str
) -> Translation:
    """Returns a given translation of a text, with what was found for it."""
    pieces, (ids,) = encoder.source.pieces(source), encoder.target.encode([target])
    assert found.alignment is not None
    logs = found.log_probs[: len(ids) + 1]
    return Translation(
        target,
        pieces,
        encoder.target.names(ids),
        np.asarray(found.alignment[: len(ids), : len(pieces)]),
        weights_of,
        log_prob=float(logs.sum()),
        piece_log_probs=tuple(np.asarray(logs).tolist()),
    )
