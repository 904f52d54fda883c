"""The recurrence between the projections of a layer: convolutions, gates, the mechanism's own function."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.mechanisms.base import Recurrence
from attnjax.mechanisms.catalogue import recurrence
from attnjax.nn.attention.cache import StateCache
from attnjax.nn.attention.gates import make_gate, unit
from attnjax.nn.attention.mask_reading import MaskReading
from attnjax.nn.attention.settings import RecurrentSettings
from attnjax.nn.attention.sizes import Layout
from attnjax.nn.attention.tapped import sites_of_map
from attnjax.nn.placed import axis_of_sequences
from attnjax.nn.short_convolution import ShortConvolution
from attnjax.nn.taps import Sites, tapped
from attnjax.ops.context.recurrence import context_recurrence
from attnjax.ops.linear.members.bidirectional import bidirectional
from attnjax.ops.linear.members.common import at_least_float32


class Projected(NamedTuple):
    """Heads of the tokens [*B, T, …, size]."""

    query: Array
    key: Array
    value: Array


class RecurrentMixer(nnx.Module):
    """The convolutions, the gates and the recurrence of a mechanism.

    Args:
      mechanism: its name.
      layout: of its projections.
      dim: D, of the layer's input.
      settings: convolution, activation, largest strength and kind of decay.
      dtype: of the computation.
      param_dtype: of the parameters.
      rngs: draws the parameters.
    """

    def __init__(
        self,
        mechanism: str,
        layout: Layout,
        dim: int,
        settings: RecurrentSettings,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        member = recurrence(mechanism)
        settings.require_fits(mechanism, member)
        self.mechanism = mechanism
        self.settings = settings
        self.arguments = tuple(layout.arguments.items())
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        of_gates: dict[str, Any] = {"decay": settings.decay, "strength_bias": settings.strength_bias}
        self.gates = nnx.Dict(
            {
                name: make_gate(gate, layout.gates[name], dim, **of_gates, **options)
                for name, gate in member.gates.items()
            }
        )
        convolution = settings.of_convolution(member)
        made: dict[str, ShortConvolution] = {}
        if convolution is not None:
            given: dict[str, Any] = {"width": convolution.width, "bias": convolution.bias, "silu": False}
            made = {
                name: ShortConvolution(axes, **given, param_dtype=param_dtype, rngs=rngs)
                for name, axes in layout.projected.items()
            }
        self.convolutions = nnx.Dict(made)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        projected: Projected,
        place: Callable[[Projected], Projected],
        reading: MaskReading,
        cache: StateCache | None = None,
        sites: Sites | None = None,
    ) -> tuple[Float[Array, "*B T N V"], StateCache]:
        """Returns the reads of every token, and a cache with these tokens, whose state is None for two sides.

        Args:
          x: the layer's input, which the gates see.
          projected: query, key and value.
          place: applied to them after the convolutions: norms and rotations.
          reading: the mask; lengths count from the first token of x.
          cache: of the tokens before.
          sites: of the layer.
        """
        rows = {"lengths": reading.lengths, "segment_ids": reading.segment_ids}
        tails = {} if cache is None else cache.tails
        convolved = {
            name: convolution(getattr(projected, name), tail=tails.get(name), **rows)
            for name, convolution in self.convolutions.items()
        }
        member = recurrence(self.mechanism)
        projected = projected._replace(**{name: y for name, (y, _) in convolved.items()})
        if self.settings.activates(member):
            projected = Projected(*map(jax.nn.silu, projected))
        query, key, value = self._in_range(place(projected))
        arguments = self._gated(x, key) | dict(self.arguments) | rows
        query, key = tapped(sites, "query", query), tapped(sites, "key", key)
        before = None if cache is None else cache.state

        def read(value: Array, state: Any) -> tuple[Array, Any]:
            if reading.causal and state is None and _in_shards(member, value):
                second = "log_forget" if member.keys_are_gates else "key"
                tokens = {"query": query, second: key, "value": value}
                tokens |= {name: arguments[name] for name in member.token_gates if name in arguments}
                others = {name: x for name, x in arguments.items() if name not in tokens}
                return context_recurrence(member.function, tokens, return_state=True, **others)
            if reading.causal:
                both: Any = {"initial_state": state, "return_state": True}
                return member.function(query, key, value, **both, **arguments)
            assert member.two_sided is not None  # A mask without order was refused for those that have none.
            both = {"join": member.two_sided, "token_gates": member.token_gates}
            return bidirectional(member.function, query, key, value, **both, **arguments), None

        value, given = tapped(sites, "values", value), None
        # Where channels of values have gates of their own, or tokens several values, there is no one map.
        per_channel = any("V" in gate.axes.split() for gate in member.gates.values())
        if sites is not None and not per_channel and member.key != "writes":
            given = sites_of_map(sites, lambda value: read(value, None)[0], value)
        out, state = read(value, before)
        if given is not None:
            out = given if before is None else given + read(jnp.zeros_like(value), before)[0]
        tails = {name: tail for name, (_, tail) in convolved.items()}
        return out, StateCache(state, tails, _length(x, reading.lengths, cache))

    def empty_cache(self, project: Callable[[Array], Projected], token: jax.ShapeDtypeStruct) -> StateCache:
        """Returns the cache before such a token [*B, 1, D], of which `project` makes query, key and value."""

        def after(x: Array) -> StateCache:
            return self(x, project(x), lambda projected: projected, MaskReading(causal=True))[1]

        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(after, token))

    def _gated(self, x: Array, key: Array) -> dict[str, Array]:
        gates = {name: gate(x, key) for name, gate in self.gates.items()}
        if self.settings.max_strength != 1:
            declared = recurrence(self.mechanism).gates
            strong = {
                name: x
                for name, x in gates.items()
                if declared[name].range == "strength" and declared[name].per_token
            }
            gates |= {name: self.settings.max_strength * x for name, x in strong.items()}
        return gates

    def _in_range(self, projected: Projected) -> Projected:
        """Returns queries and keys as the member expects them, in as many heads."""
        member, (query, key, value) = recurrence(self.mechanism), projected
        if member.unit_query:
            query = unit(query)
        if member.key in ("unit", "writes"):
            key = unit(key)
        elif member.key == "log_forget":
            key = jax.nn.log_sigmoid(at_least_float32(key))
        if not member.many_values and query.shape[-2] < value.shape[-2]:
            query, key = (jnp.repeat(h, value.shape[-2] // h.shape[-2], axis=-2) for h in (query, key))
        return Projected(query, key, value)


def _in_shards(member: Recurrence, value: Float[Array, "*B T N V"]) -> bool:
    """Returns whether a mesh splits the tokens, and the member can compute them so."""
    return member.shards and axis_of_sequences(value.shape[-3]) is not None


def _length(x: Array, lengths: Int[Array, "*#B"] | None, cache: StateCache | None) -> Int[Array, "*B"]:
    tokens = x.shape[-2]
    new = jnp.int32(tokens if lengths is None else jnp.clip(lengths, 0, tokens))
    new = jnp.broadcast_to(new, x.shape[:-2])
    return new if cache is None else cache.length + new
