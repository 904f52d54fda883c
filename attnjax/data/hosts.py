"""The share of a batch that one of several hosts computes.

Each host draws all for the whole batch: what a step learns from does not depend on their number.
"""

import jax
import numpy as np
from jaxtyping import Shaped

from attnjax.config import InputError


def is_first_host() -> bool:
    """True for the process that speaks of what all of them do."""
    return jax.process_index() == 0


def host_rows(batch_size: int) -> slice:
    """Returns the rows of this process. Raises InputError where the hosts cannot share them evenly."""
    hosts, host = jax.process_count(), jax.process_index()
    if batch_size < 1 or batch_size % hosts:
        raise InputError(f"batch_size is {batch_size}: it must be a positive multiple of {hosts} hosts")
    return slice(host * batch_size // hosts, (host + 1) * batch_size // hosts)


def all_rows(rows: int) -> int:
    """Returns the rows of a batch of which each host has so many."""
    return rows * jax.process_count()


def host_share(drawn: Shaped[np.ndarray, "B ..."]) -> Shaped[np.ndarray, "b ..."]:
    """Returns this host's rows of what was drawn for `all_rows` of a batch.

    >>> host_share(np.arange(all_rows(3))).tolist()
    [0, 1, 2]
    """
    return drawn[host_rows(len(drawn))]
