"""The pointing game of dates, whose alignment is exact: where should each digit of an ISO date look?"""

import re
from collections.abc import Mapping

import numpy as np

from attnjax.config import require
from attnjax.data.text.alignments import ISO_FIELDS
from attnjax.tasks.translation.alignment import Translation

ISO = re.compile(r"\d{4}-\d\d-\d\d")


def points_at_fields(translation: Translation, spans: Mapping[str, range]) -> dict[str, float]:
    """Returns for each field the share of its digits whose largest weight is on a piece of that field.

    Args:
      translation: of a date to its ISO form, with its alignment.
      spans: the places of the fields' characters in the source, from `DateFormat.spans`.

    Raises:
      InputError: the translation is no ISO date, or a field has no span.

    References:
      Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, arXiv:1608.00507 (the game).

    Example:
      >>> weights = np.zeros((10, 9))
      >>> weights[:, 3] = 1
      >>> date = Translation("2003-02-01", list("1 2 2003."), list("2003-02-01"), weights)
      >>> points_at_fields(date, {"day": range(1), "month": range(2, 3), "year": range(4, 8)})
      {'year': 0.0, 'month': 0.0, 'day': 0.0}
    """
    text = "".join(translation.target_pieces)
    require(ISO.fullmatch(text) is not None, f"translation is {text!r}: expected an ISO date")
    missing = [field for field in ISO_FIELDS if field not in spans]
    require(not missing, f"spans: it lacks {', '.join(missing)}")
    source = _places(translation.source_pieces)
    of_digit = _places(translation.target_pieces)
    top = np.asarray(translation.alignment).argmax(-1)
    found = {}
    for field, written in ISO_FIELDS.items():
        rows = [row for row, own in enumerate(of_digit) if set(own) & set(written)]
        hits = [bool(set(source[top[row]]) & set(spans[field])) for row in rows]
        found[field] = float(np.mean(hits))
    return found


def _places(pieces: list[str]) -> list[range]:
    """Returns the places of each piece's characters in their text."""
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return [range(end - len(piece), end) for end, piece in zip(ends, pieces, strict=True)]
