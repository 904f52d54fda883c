"""Every member in both directions, where that is defined."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.linear.call import spread
from attnjax.ops.linear.members.catalogue import MEMBERS
from attnjax.ops.linear.members.common import Options
from attnjax.ops.linear.members.two_sided import both_directions, refuse_states


@automatic(lambda member, *args, **kwargs: spread(*args, **kwargs))
def bidirectional(
    member: str, query: Any, key: Any, value: Any, **arguments: Any
) -> Float[Array, "*B T N V"]:
    """A member of the family over the whole sequence, for encoders, by name: `MEMBERS` says which, and how.

    Where the output is a sum over tokens ("sum"), the sum of both directions, in which a token counts itself
    once: with decays a token weighs by what is kept between it and the query, on either side (LION, Afzal et
    al., 2025). Where it is such a sum over another one ("quotient"), both sums run over all tokens, as for
    encoders in the papers. The delta rules ("mean") answer with the mean of both directions: what a state
    that erases holds of its own token is no summand that could be counted once.

    Arguments are the member's own, without states. Raises ValueError for a name that is no member, for a
    member that is causal only, and for `initial_state` or `return_state`.

    >>> import jax.numpy as jnp
    >>> x, value = jnp.ones((3, 1, 1)), jnp.array([[[1.0]], [[2.0]], [[4.0]]])
    >>> print(bidirectional("simple_gla", x, x, value, decay=jnp.log(jnp.full((3, 1), 0.5))).ravel())
    [3.   4.5  5.25]
    """
    if member not in MEMBERS:
        raise ValueError(f"member is {member!r}: expected one of {', '.join(MEMBERS)}")
    entry = MEMBERS[member]
    if entry.two_sided is None:
        able = ", ".join(name for name, other in MEMBERS.items() if other.two_sided)
        raise ValueError(f"{member} is causal only: expected one of {able}")
    if entry.two_sided == "quotient":
        return entry.function(query, key, value, two_sided=True, **arguments)
    options: Options = {n: arguments.pop(n) for n in Options.__annotations__ if n in arguments}  # type: ignore
    refuse_states(options)
    # The member's own checks, by a call that computes nothing: what passes them can be turned round.
    jax.eval_shape(lambda: entry.function(query, key, value, **arguments, **options))
    third = list(inspect.signature(entry.function).parameters)[1]
    tokens = {name: jnp.asarray(x) for name, x in {"query": query, third: key, "value": value}.items()}
    rows = tokens["query"].shape[:-2]
    for name, declared in entry.gates.items():
        if declared.per_token and arguments.get(name) is not None:
            x = jnp.asarray(arguments.pop(name))
            tokens[name] = jnp.broadcast_to(x, (*rows, *x.shape[len(rows) :]))

    def run(**given: Any) -> Array:
        return entry.function(**given, **arguments)

    return both_directions(run, tokens, options, "halves" if entry.two_sided == "mean" else "once")
