"""Models of transformers that attributions are compared on, each beside ours of the same weights."""

from pathlib import Path
from typing import Any

import numpy as np

from attnjax.pretrained import from_pretrained
from tests.pretrained.peers import Case

TOLERANCE, MASK, CLASS = 1e-4, 4, 1
TOKENS = np.array([[7, 3, 19, 11, 23]])


def pair(case: Case, folder: Path) -> tuple[Any, Any]:
    """The model of transformers, and ours of the same weights."""
    theirs = case.theirs()
    theirs.save_pretrained(folder)
    return theirs, from_pretrained(folder)


def same(found: Any, expected: Any) -> bool:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return bool(np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max())


def words(theirs: Any) -> Any:
    return theirs.get_input_embeddings().weight.detach()


def value(theirs: Any, vectors: Any, target: int = CLASS) -> Any:
    logits = theirs(inputs_embeds=vectors).logits
    return logits[:, target] if logits.ndim == 2 else logits[:, -1, target]
