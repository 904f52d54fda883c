"""The decoder of recurrent networks, with attention or without."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.nn import KeysValues, flat_dot_general, make_attention, named
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.tapped import given, noted
from attnjax.nn.cells import CELLS, State
from attnjax.nn.classic.global_attention import GlobalAttention
from attnjax.nn.joining import Linear
from attnjax.nn.taps import Sites, StepSites
from attnjax.ops.core.dtypes import accumulation_dtype

CROSS_ATTENTION = "decoder.cross_attention"
"""The path of the attention to the source."""


class Carry(NamedTuple):
    """The decoder between two tokens.

    Attributes:
      states: of each layer.
      fed: h̃, of which the last logits were made.
      read: the sum of the attention's weights so far; of monotonic attention, the last ones.
    """

    states: tuple[State, ...]
    fed: Float[Array, "B D"]
    read: Float[Array, "B 1 S"]


class RecurrentDecoder(nnx.Module):
    """The layers between the embedded target and its logits: see `RecurrentEncoderDecoder`.

    Args:
      config: of the model.
      options: dtype, param_dtype and rngs.
    """

    def __init__(self, config: RecurrentConfig, **options: Any) -> None:
        dim, attends, make = config.dim, config.cross_mechanism is not None, CELLS[config.cell]
        self.asks_first = config.order == "bahdanau"
        self.feeds = attends and (config.input_feeding or self.asks_first)
        self.bridge = nnx.List([linear(dim, make.kept * dim, **options) for _ in range(config.layers)])
        widths = [2 * dim if self.feeds else dim, *[dim] * (config.layers - 1)]
        self.cells = nnx.List([make(width, dim, **options) for width in widths])
        self.moves_on = attends and config.choice.row.name == "monotonic"
        self.attention: Any = _attention(config, options) if attends else None
        self.joined = linear(2 * dim if attends else dim, dim, use_bias=False, **options)

    def begin(self, memory: Float[Array, "B S D"], there: Bool[Array, "B S"]) -> Carry:
        """Returns the state before the first token."""
        starts = self._starts(memory, there)
        states = tuple(
            tuple(jnp.split(start, cell.kept, axis=-1))
            for start, cell in zip(starts, self.cells, strict=True)
        )
        read = jnp.zeros((memory.shape[0], 1, memory.shape[1]), accumulation_dtype(memory))
        fed = jnp.zeros_like(states[-1][0])
        return Carry(states, fed, read.at[..., 0].set(1) if self.moves_on else read)

    def project(self, memory: Float[Array, "B S D"]) -> KeysValues | None:
        """Returns the keys and values of the encoded source; None without attention."""
        return None if self.attention is None else self.attention.project(memory)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        carry: Carry,
        source: KeysValues | None,
        there: Bool[Array, "B S"],
        sites: Sites | None = None,
    ) -> tuple[Float[Array, "B T D"], Float[Array, "B 1 T S"] | None, Carry]:
        """Returns each h̃, the attention's weights, and the state after the last token.

        Args:
          x: the embedded tokens.
          carry: the state before them.
          source: keys and values of the source.
          there: True where the source has a token.
          sites: of the model. It has "decoder", h̃; "decoder.0.states", h of a layer; and those of
            "decoder.cross_attention".
        """
        if source is not None and sites is not None and isinstance(self.attention, GlobalAttention):
            read_of = sites.within(CROSS_ATTENTION)
            source = KeysValues(read_of("key", source.keys), read_of("values", source.values))

        def step(carry: Carry, row: tuple[Array, Array]) -> tuple[Carry, Any]:
            (states, fed, read), (x, token) = carry, row
            own = None if sites is None else StepSites(sites, token, tokens)
            weights = None
            if source is None:
                states = self._moved(states, x, own)
                known = states[-1][0]
            elif self.asks_first:
                context, weights = self._read(states[-1][0], source, there, read, own)
                states = self._moved(states, jnp.concatenate([x, context], axis=-1), own)
                known = jnp.concatenate([context, states[-1][0]], axis=-1)
            else:
                states = self._moved(states, jnp.concatenate([x, fed], axis=-1) if self.feeds else x, own)
                context, weights = self._read(states[-1][0], source, there, read, own)
                known = jnp.concatenate([context, states[-1][0]], axis=-1)
            fed = _of_token(own, "decoder", self._given(x, known))
            if weights is not None:
                read = weights if self.moves_on else read + weights
            return Carry(states, fed, read), (fed, weights, {} if own is None else own.found)

        tokens = x.shape[1]
        carry, (fed, weights, found) = jax.lax.scan(step, carry, (jnp.moveaxis(x, 1, 0), jnp.arange(tokens)))
        if sites is not None:
            sites.take_in(StepSites.stacked(found))
        return jnp.moveaxis(fed, 0, 1), None if weights is None else jnp.moveaxis(weights, 0, 2), carry

    def _starts(
        self, memory: Float[Array, "B S D"], there: Bool[Array, "B S"]
    ) -> list[Float[Array, "B kept*D"]]:
        """Returns the state that each layer begins with, of the encoder's last ones in both directions."""
        half = memory.shape[-1] // 2
        last = jnp.maximum(there.sum(-1) - 1, 0)[:, None, None]
        read_on = jnp.take_along_axis(memory[..., :half], last, axis=1)[:, 0]
        ends = jnp.concatenate([read_on, memory[:, 0, half:]], axis=-1)
        return [bridge(ends) for bridge in self.bridge]

    def _given(self, x: Float[Array, "B D"], known: Float[Array, "B K"]) -> Float[Array, "B D"]:
        """Returns h̃ of the token's embedding x and of what is read and the last state, side by side."""
        return jnp.tanh(self.joined(known))

    def _moved(
        self, states: tuple[State, ...], x: Float[Array, "B I"], sites: Sites | None
    ) -> tuple[State, ...]:
        """Returns the states of all layers after an input of the first one."""
        new: list[State] = []
        for i, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            x, *rest = cell.step(state, cell.of_input(x))
            x = _of_token(sites, f"decoder.{i}.states", x)
            new.append((x, *rest))
        return tuple(new)

    def _read(
        self,
        state: Float[Array, "B D"],
        source: KeysValues,
        there: Array,
        read: Float[Array, "B 1 S"],
        sites: Sites | None,
    ) -> tuple[Float[Array, "B D"], Float[Array, "B 1 S"]]:
        """Returns what attention reads, and its weights."""
        asked = None if sites is None else sites.within(CROSS_ATTENTION)
        if isinstance(self.attention, GlobalAttention):
            found = self.attention(state[:, None], source, mask=there, coverage=read, capture=asked)
            out, weights = found.out, found.weights
        else:
            given(self.attention, asked)
            more = {"before": read} if self.moves_on else {}
            found = self.attention(state[:, None], source, mask=there, capture=Capture(), **more)
            out, weights = noted(found, asked).out, found.weights
        assert weights is not None
        return self._gated(state, out[:, 0]), weights[:, :, 0].astype(read.dtype)

    def _gated(self, state: Float[Array, "B D"], context: Float[Array, "B D"]) -> Float[Array, "B D"]:
        """Returns what attention reads as the layers go on with it."""
        return context


def _of_token(sites: Sites | None, path: str, x: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """Returns the vectors of one token at a site as the decoder goes on with them."""
    return x if sites is None else sites(path, x[:, None])[:, 0]


def linear(inputs: int, outputs: int, *, axis: str = "width", **options: Any) -> Linear:
    """Returns a linear map of vectors to others, whose axis has a logical name.

    Example:
      >>> linear(3, 4, rngs=nnx.Rngs(0)).kernel.shape
      (3, 4)
    """
    return Linear(
        inputs,
        outputs,
        dot_general=flat_dot_general,
        kernel_metadata=named("embed", axis),
        bias_metadata=named(axis),
        **options,
    )


def _attention(config: RecurrentConfig, options: dict[str, Any]) -> Any:
    choice = config.choice
    if choice.row.name == "softmax":
        return GlobalAttention(config.dim, choice, coverage=config.coverage, **options)
    return make_attention(choice, config.dim, 1, **options)
