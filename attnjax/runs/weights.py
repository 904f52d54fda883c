"""The parameters of a run that are meant: after its last step, of its best validation, or a mean."""

import re
from typing import Any

from attnjax.config import InputError

MEANING = "those after the last step, or of the best validation; last:5 or best:5: the mean of 5 checkpoints"
AS_EVALUATED = "those that the run was evaluated with"
"""Lines of help."""


def default_weights(config: Any) -> str:
    """Returns which weights a run is evaluated with where nobody says: the last, or what its experiment says.

    The class of a config may have the attribute `weights`. It is no field, as it changes no parameter.
    """
    return getattr(config, "weights", "last")


def read_weights(text: str) -> tuple[bool, int]:
    """Returns whether the best are meant in place of the last ones, and of how many checkpoints the mean is.

    Raises:
      InputError: it is no such text.

    Example:
      >>> read_weights("best"), read_weights("last:3")
      ((True, 1), (False, 3))
    """
    found = re.fullmatch(r"(last|best)(?::([1-9]\d{0,5}))?", text)
    if found is None:
        raise InputError(f"--weights is {text!r}: expected last, best, or last:5 and the like for a mean")
    return found[1] == "best", int(found[2] or 1)
