"""Masks in the place of tokens of training."""

from collections.abc import Sequence

import numpy as np

from attnjax.data.hosts import host_rows
from attnjax.tasks.base import Arrays


def masked(
    batch: Arrays,
    share: float,
    mask: int,
    marks: Sequence[int],
    batch_size: int,
    rng: np.random.Generator,
) -> Arrays:
    """Returns a batch in which a share of the "tokens" gave their place to the mask.

    Args:
      batch: the rows of this host.
      share: of the tokens.
      mask: the token.
      marks: tokens that stay.
      batch_size: of all hosts together: the masks of a row are the same whatever the number of hosts.
      rng: draws them.
    """
    tokens = batch["tokens"]
    chances = rng.random((batch_size, tokens.shape[1]))[host_rows(batch_size)]
    hidden = (chances < share) & ~np.isin(tokens, marks)
    return {**batch, "tokens": np.where(hidden, mask, tokens).astype(np.int32)}
