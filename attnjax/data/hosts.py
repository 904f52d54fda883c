"""The share of a batch that one of several hosts computes."""

import jax


def host_rows(batch_size: int) -> slice:
    """Returns the rows of this process. Raises ValueError where the hosts cannot share them evenly."""
    hosts, host = jax.process_count(), jax.process_index()
    if batch_size < 1 or batch_size % hosts:
        raise ValueError(f"batch_size is {batch_size}: it must be a positive multiple of {hosts} hosts")
    return slice(host * batch_size // hosts, (host + 1) * batch_size // hosts)
