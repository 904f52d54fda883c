"""Every member in both directions, where that is defined."""

import inspect
from collections.abc import Callable, Collection
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.linear.call import spread
from attnjax.ops.linear.members.common import Options
from attnjax.ops.linear.members.two_sided import both_directions, refuse_states

Join = Literal["sum", "quotient", "mean"]


@automatic(lambda member, *args, **kwargs: spread(*args, **kwargs))
def bidirectional(
    member: Callable[..., Any],
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    join: Join,
    token_gates: Collection[str] = (),
    **arguments: Any,
) -> Float[Array, "*B T N V"]:
    """Returns the output of a member of the family over the whole sequence, for encoders.

    Args:
      member: the function of a member, such as `gla`.
      query: as the member takes it, most often [*B, T, N, H].
      key: the second argument of the member, whatever its name, most often [*B, T, K, H].
      value: as the member takes it, most often [*B, T, K, V].
      join: how both directions become one. "sum" is for an output that is a sum over tokens: a token counts
        itself once, and with decays it weighs by what is kept between it and the query, on either side.
        "quotient" is for such a sum over another one: both run over all tokens, as for encoders in the
        papers. "mean" is for the delta rules: what a state that erases holds of its own token is no summand
        that could be counted once.
      token_gates: the names of those arguments that have an axis of tokens.
      **arguments: the member's own, without states.

    Raises:
      ValueError: another join, or `initial_state` or `return_state` are given.

    References:
      Afzal et al., Linear Attention for Efficient Bidirectional Sequence Modeling (LION), 2025
        (arXiv:2502.16249).

    Example:
      >>> import jax.numpy as jnp
      >>> from attnjax.ops.linear.members.simple_gla import simple_gla
      >>> x, value = jnp.ones((3, 1, 1)), jnp.array([[[1.0]], [[2.0]], [[4.0]]])
      >>> gates = {"decay": jnp.log(jnp.full((3, 1), 0.5))}
      >>> print(bidirectional(simple_gla, x, x, value, join="sum", token_gates=gates, **gates).ravel())
      [3.   4.5  5.25]
    """
    if join not in ("sum", "quotient", "mean"):
        raise ValueError(f"join is {join!r}: expected 'sum', 'quotient' or 'mean'")
    if join == "quotient":
        return member(query, key, value, two_sided=True, **arguments)
    options: Options = {n: arguments.pop(n) for n in Options.__annotations__ if n in arguments}  # type: ignore
    refuse_states(options)
    # The member's own checks, by a call that computes nothing: what passes them can be turned round.
    jax.eval_shape(lambda: member(query, key, value, **arguments, **options))
    third = list(inspect.signature(member).parameters)[1]
    tokens = {name: jnp.asarray(x) for name, x in {"query": query, third: key, "value": value}.items()}
    rows = tokens["query"].shape[:-2]
    for name in token_gates:
        if arguments.get(name) is not None:
            x = jnp.asarray(arguments.pop(name))
            tokens[name] = jnp.broadcast_to(x, (*rows, *x.shape[len(rows) :]))

    def run(**given: Any) -> Array:
        return member(**given, **arguments)

    return both_directions(run, tokens, options, "halves" if join == "mean" else "once")
