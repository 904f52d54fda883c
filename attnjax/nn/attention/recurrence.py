"""What stands between the projections of a layer whose mechanism is a member of the linear family."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.mechanisms.catalogue import recurrence
from attnjax.nn.attention.cache import StateCache
from attnjax.nn.attention.gates import make_gate, unit
from attnjax.nn.attention.mask_reading import MaskReading, known_to_differ, read_mask
from attnjax.nn.attention.sizes import Layout
from attnjax.nn.norm import make_norm
from attnjax.nn.short_convolution import ShortConvolution
from attnjax.ops.linear.members.bidirectional import bidirectional
from attnjax.ops.linear.members.common import at_least_float32


class Projected(NamedTuple):
    """Heads of the tokens [*B, T, …, size]."""

    query: Array
    key: Array
    value: Array


class Recurrence(nnx.Module):
    """Short convolution, gates, the member's recurrence, and an RMSNorm of each head of what it reads.

    Args:
      mechanism: the member's name.
      layout: of its projections.
      dim: D, of the layer's input.
      options: dtype, param_dtype and rngs.
    """

    def __init__(self, mechanism: str, layout: Layout, dim: int, **options: Any) -> None:
        member = recurrence(mechanism)
        self.mechanism = mechanism
        self.arguments = tuple(layout.arguments.items())
        self.gates = nnx.Dict(
            {name: make_gate(gate, layout.gates[name], dim, **options) for name, gate in member.gates.items()}
        )
        given = {name: x for name, x in options.items() if name != "dtype"}
        self.convolutions = nnx.Dict(
            {name: ShortConvolution(axes, **given) for name, axes in layout.projected.items()}
            if member.short_convolution
            else {}
        )
        self.norm = make_norm("rms", layout.projected["value"]["head_dim"], axis="head_dim", **options)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        projected: Projected,
        place: Callable[[Projected], Projected],
        *,
        mask: Any,
        cache: StateCache | None,
    ) -> tuple[Float[Array, "*B T N V"], StateCache | None]:
        """What every token reads, and the cache with these tokens, if one was given.

        Args:
          x: the layer's input, which the gates see.
          projected: query, key and value.
          place: what is done to them after the convolutions: norms and rotations.
          mask, cache: as in `Attention.attend`.
        """
        reading = self._read(mask, cache, x)
        out, kept = self._run(x, projected, place, reading, cache)
        return out, None if cache is None else kept

    def empty_cache(self, project: Callable[[Array], Projected], token: jax.ShapeDtypeStruct) -> StateCache:
        """The cache before such a token [*B, 1, D], of which `project` makes query, key and value."""

        def after(x: Array) -> StateCache:
            return self._run(x, project(x), lambda projected: projected, MaskReading(causal=True))[1]

        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(after, token))

    def _run(
        self,
        x: Array,
        projected: Projected,
        place: Callable[[Projected], Projected],
        reading: MaskReading,
        cache: StateCache | None = None,
    ) -> tuple[Array, StateCache]:
        """As `__call__`, of a mask that was read; always with a cache, whose state is None for two sides."""
        rows = {"lengths": reading.lengths, "segment_ids": reading.segment_ids}
        tails = {} if cache is None else cache.tails
        convolved = {
            name: convolution(getattr(projected, name), tail=tails.get(name), **rows)
            for name, convolution in self.convolutions.items()
        }
        projected = place(projected._replace(**{name: y for name, (y, _) in convolved.items()}))
        query, key, value = self._in_range(projected)
        arguments = {name: gate(x, key) for name, gate in self.gates.items()} | dict(self.arguments) | rows
        member = recurrence(self.mechanism)
        if reading.causal:
            state = None if cache is None else cache.state
            out, state = member.function(
                query, key, value, initial_state=state, return_state=True, **arguments
            )
        else:
            assert member.two_sided is not None  # `_read` has refused those that are causal only.
            both: Any = {"join": member.two_sided, "token_gates": member.token_gates}
            out, state = bidirectional(member.function, query, key, value, **both, **arguments), None
        length = x.shape[-2] + (jnp.int32(0) if cache is None else cache.length)
        tails = {name: tail for name, (_, tail) in convolved.items()}
        return self.norm(out), StateCache(state, tails, length)

    def _in_range(self, projected: Projected) -> Projected:
        """Queries and keys as the member expects them."""
        member, (query, key, value) = recurrence(self.mechanism), projected
        if member.unit_query:
            query = unit(query)
        if member.key in ("unit", "writes"):
            key = unit(key)
        elif member.key == "log_forget":
            key = jax.nn.log_sigmoid(at_least_float32(key))
        return Projected(query, key, value)

    def _read(self, mask: Any, cache: StateCache | None, x: Array) -> MaskReading:
        reading, name = read_mask(mask, self.mechanism), self.mechanism
        if not reading.causal and recurrence(name).causal_only:
            raise ValueError(f"mask {mask!r}: {name} is causal only, expected causal() in it")
        if cache is None:
            if reading.causal and known_to_differ(reading.offset, 0):
                raise ValueError(f"mask {mask!r}: expected causal() without an offset, there is no cache")
            return reading
        _check_batch(cache, x.shape[:-2])
        if not reading.causal or reading.segment_ids is not None:
            raise ValueError(f"mask {mask!r} with a cache: expected causal(cache.length), and no segments")
        if known_to_differ(reading.offset, cache.length):
            raise ValueError(f"mask {mask!r} with a cache: expected causal({cache.length})")
        if reading.lengths is None:
            return reading
        return reading._replace(lengths=jnp.maximum(reading.lengths - cache.length, 0))


def _check_batch(cache: StateCache, batch: tuple[int, ...]) -> None:
    for leaf in jax.tree.leaves((cache.state, cache.tails)):
        if leaf.shape[: len(batch)] != batch:
            raise ValueError(f"cache holds {list(leaf.shape)}: x has the batch axes {list(batch)} (*B)")
