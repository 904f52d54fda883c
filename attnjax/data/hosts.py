"""Which rows of a batch are this host's."""

import jax


def host_rows(batch_size: int) -> slice:
    """The rows of this process out of all hosts'. Raises ValueError where they cannot be shared evenly."""
    hosts, host = jax.process_count(), jax.process_index()
    if batch_size < 1 or batch_size % hosts:
        raise ValueError(f"batch_size is {batch_size}: it must be a positive multiple of {hosts} hosts")
    return slice(host * batch_size // hosts, (host + 1) * batch_size // hosts)
