"""Both directions of a recurrence, for encoders."""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.common import Options, blank, live, passed, refuse_shards

Own = Literal["once", "halves"]


def both_directions(run: Callable[..., Array], tokens: dict[str, Array], options: Options, own: Own) -> Array:
    """Computes run(**tokens, **options) forwards and backwards over arrays [*B, T, …].

    `query` tells *B. "once": the sum of both, in which each token counts itself once; "halves": their mean.
    """
    refuse_states(options)
    refuse_shards(options, "both directions are asked for, and only the first goes on from shard to shard")
    batch, length = tokens["query"].shape[:-3], tokens["query"].shape[-3]
    lengths, ids = options.get("lengths"), options.get("segment_ids")
    tokens = {name: blank(x, lengths, len(batch)) for name, x in tokens.items()}
    forward_options = passed(options)
    backward_options = forward_options.copy()
    if ids is not None:
        ids = jnp.broadcast_to(jnp.asarray(ids), (*batch, length))
        backward_options["segment_ids"] = _reversed(ids, len(batch), lengths)
    backward = run(**{n: _reversed(x, len(batch), lengths) for n, x in tokens.items()}, **backward_options)
    out = run(**tokens, **forward_options) + _reversed(backward, len(batch), lengths)
    if own == "halves":
        return out / 2
    alone = {name: jnp.expand_dims(x, len(batch) + 1) for name, x in tokens.items()}
    # Every share of a token's own is a multiple of its value, so padding takes nothing away.
    return out - run(**alone, form="parallel")[..., 0, :, :]


def _reversed(x: Array, batch: int, lengths: Any) -> Array:
    """Returns x with the tokens before each row's length in reverse order, the others where they are."""
    if lengths is None:
        return jnp.flip(x, batch)
    alive = live(lengths, x.shape[:batch], x.shape[batch])
    at = of_rank(jnp.arange(x.shape[batch], dtype=jnp.int32), batch + 1)
    last = jnp.broadcast_to(jnp.asarray(lengths), x.shape[:batch])[..., None] - 1
    # A row may be said to be longer than it is.
    index = jnp.where(alive, jnp.minimum(last, x.shape[batch] - 1) - at, at)
    return jnp.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - index.ndim)), axis=batch)


def refuse_states(options: Options) -> None:
    """Raises ValueError for a state that is given or asked for."""
    for name in ("initial_state", "return_state"):
        given = options.get(name)
        if given is not None and given is not False:
            raise ValueError(
                f"{name} is given, but both directions are asked for: no state stands at both ends"
            )
