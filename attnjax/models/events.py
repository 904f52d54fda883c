"""The encoder of events at irregular times, and a recurrent reader of the same tokens."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from attnjax.models.class_token import ClassTokenModel
from attnjax.models.events_config import EventsConfig
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.padding import key_mask, require_present
from attnjax.models.table import ColumnTokens
from attnjax.nn import Dropout, folded
from attnjax.nn.axes import named
from attnjax.nn.cells import GRU
from attnjax.nn.taps import Asked, Request, tapped, within


class TimeWaves(nnx.Module):
    """Waves of times, W·(t/L, sin(ω t + φ), …): mTAND's embedding, whose ω and φ are learned or stay fixed.

    They begin as sinusoids of periods between the shortest and the longest, L, in equal ratios.

    Args:
      config: with the periods and whether they are learned.
      parts: makes the map W.
      rngs: draws the phases.

    References:
      Shukla & Marlin, Multi-Time Attention Networks for Irregularly Sampled Time Series, 2021,
      arXiv:2101.10318.
    """

    def __init__(self, config: EventsConfig, parts: Parts, *, rngs: nnx.Rngs) -> None:
        periods = np.geomspace(config.shortest_period, config.longest_period, config.waves)
        self._longest, self._dtype = config.longest_period, jnp.dtype(config.dtype)
        self._fixed = None if config.times == "learned" else tuple((2 * np.pi / periods).tolist())
        kind = jnp.dtype(config.param_dtype)
        self.frequency: nnx.Param[Array] | None = nnx.data(None)
        self.phase: nnx.Param[Array] | None = nnx.data(None)
        if config.times == "learned":
            # Logarithms: fast and slow waves learn alike.
            self.frequency = nnx.Param(jnp.log(2 * jnp.pi / jnp.asarray(periods, kind)), **named("factor"))
            start = jax.random.uniform(rngs.params(), (config.waves,), kind, 0, 2 * jnp.pi)
            self.phase = nnx.Param(start, **named("factor"))
        self.map = parts.dense(config.dim, 1 + (1 if self.phase is not None else 2) * config.waves)

    def __call__(self, times: Float[Array, "B T"]) -> Float[Array, "B T D"]:
        """Returns the vectors of times."""
        times = times.astype(jnp.float32)[..., None]
        if self.frequency is not None and self.phase is not None:
            waves = [jnp.sin(times * jnp.exp(self.frequency[...]) + self.phase[...])]
        else:
            turned = times * jnp.asarray(self._fixed, jnp.float32)
            waves = [jnp.sin(turned), jnp.cos(turned)]
        return self.map(jnp.concatenate([times / self._longest, *waves], -1).astype(self._dtype))


class EventTokens(nnx.Module):
    """A token for each event: b_s + x·w_s of a value x of sign s, m_s without one, and the waves of its time.

    Args:
      config: the shape of the model.
      signs: their number.
      parts: makes the layers.
      rngs: draws w, b and m, evenly in ±1/√D.
    """

    def __init__(self, config: EventsConfig, signs: int, parts: Parts, *, rngs: nnx.Rngs) -> None:
        self._config = config
        self.kernel, self.bias, self.missing = (
            nnx.Param(
                jax.random.uniform(
                    rngs.params(),
                    (signs, config.dim),
                    parts.dtypes["param_dtype"],
                    -(config.dim**-0.5),
                    config.dim**-0.5,
                ),
                **named("vocab", "embed"),
            )
            for _ in range(3)
        )
        self.waves = None if config.times == "none" else TimeWaves(config, parts, rngs=rngs)

    def __call__(
        self,
        times: Float[Array, "B T"],
        signs: Int[Array, "B T"],
        values: Float[Array, "B T"],
        present: Bool[Array, "B T"],
        *,
        taps: Request = None,
    ) -> Float[Array, "B T D"]:
        """Returns the tokens; NaN stands for no value."""
        known = ~jnp.isnan(values)
        of_value = jnp.where(known, values, 0)[..., None] * self.kernel[...][signs] + self.bias[...][signs]
        tokens = jnp.where(known[..., None], of_value, self.missing[...][signs])
        if self.waves is not None:
            if self._config.times == "order":
                # Counted from the last event backwards, as times are.
                times = jnp.cumsum(present, axis=1) - present.sum(axis=1, keepdims=True)
            tokens = tokens + self.waves(times)
        return tapped(taps, "events", tokens.astype(jnp.dtype(self._config.dtype)))


class EventTransformer(ClassTokenModel):
    """A stack of blocks over a class token, the further columns of a person, and a token for each event.

    Its state is `nnx.Param`s only. Order does not matter, times do; nobody sees the padding.

    Args:
      config: its shape.
      signs: the number of signs.
      classes: of the further columns the number of classes, 0 for numbers; empty: there are none.

    References:
      Horn et al., Set Functions for Time Series, 2020, arXiv:1909.12064.
      Shukla & Marlin, Multi-Time Attention Networks, 2021, arXiv:2101.10318.

    Example:
      >>> model = EventTransformer(EventsConfig(dim=8), 3, rngs=nnx.Rngs(0))
      >>> times, signs = jnp.array([[-40.5, -3.0]]), jnp.array([[2, 0]])
      >>> model(times, signs, jnp.array([[0.5, jnp.nan]])).logits.shape
      (1, 2)
    """

    config: EventsConfig

    def __init__(
        self, config: EventsConfig, signs: int, classes: Sequence[int] = (), *, rngs: nnx.Rngs
    ) -> None:
        self.config, self.columns = config, len(classes)
        parts = Parts(config, rngs)
        self.embedding = EventTokens(config, signs, parts, rngs=rngs)
        self.person = ColumnTokens(classes, config.dim, rngs=rngs, **parts.dtypes) if classes else None
        self._make_stack(parts, config.layers, config.labels)

    def __call__(
        self,
        times: Float[Array, "B T"],
        signs: Int[Array, "B T"],
        values: Float[Array, "B T"],
        *,
        persons: Float[Array, "B F"] | None = None,
        present: Bool[Array, "B T"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> EncoderOutput:
        """Returns the vectors of class token, columns and events, and the logits of the labels.

        Args:
          times: of the events, before now: 0 or less.
          signs: their numbers.
          values: NaN where there is none.
          persons: the further columns, numbers, codes of classes and NaN; there must be as many as classes.
          present: True for an event, False for padding; None: all are there.
          dropout: of tokens, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"), and the vectors
            ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        present = checked(times, signs, values, persons, present, self.columns)
        captured = Captured(capture, "blocks")
        x = self.embedding(times, signs, values, present, taps=within(captured.sites, "embedding"))
        if self.person is not None and persons is not None:
            x = jnp.concatenate([self.person(persons), x], axis=1)
        ahead = jnp.ones((len(x), 1 + self.columns), bool)
        mask = key_mask(jnp.concatenate([ahead, present], axis=1))
        return self._told(x, captured, mask=mask, dropout=dropout)


class EventGRU(nnx.Module):
    """A gated recurrent unit over the tokens of `EventTransformer`, in order: the same without attention.

    Args:
      config: its shape; layers and heads do not count.
      signs: the number of signs.
      classes: of the further columns.

    Example:
      >>> model = EventGRU(EventsConfig(dim=8), 3, rngs=nnx.Rngs(0))
      >>> times, signs = jnp.array([[-40.5, -3.0]]), jnp.array([[2, 0]])
      >>> model(times, signs, jnp.array([[0.5, jnp.nan]])).shape
      (1, 2)
    """

    def __init__(
        self, config: EventsConfig, signs: int, classes: Sequence[int] = (), *, rngs: nnx.Rngs
    ) -> None:
        self.config, self.columns = config, len(classes)
        parts = Parts(config, rngs)
        self.embedding = EventTokens(config, signs, parts, rngs=rngs)
        self.person = ColumnTokens(classes, config.dim, rngs=rngs, **parts.dtypes) if classes else None
        self.cell = GRU(config.dim, config.dim, rngs=rngs, **parts.dtypes)
        self.norm = parts.norm()
        self.head = parts.output(config.labels)

    def __call__(
        self,
        times: Float[Array, "B T"],
        signs: Int[Array, "B T"],
        values: Float[Array, "B T"],
        *,
        persons: Float[Array, "B F"] | None = None,
        present: Bool[Array, "B T"] | None = None,
        dropout: Dropout | None = None,
    ) -> Float[Array, "B L"]:
        """Returns the logits of the labels, of the state after the last event.

        Args:
          times: of the events, before now: 0 or less.
          signs: their numbers.
          values: NaN where there is none.
          persons: the further columns, as in `EventTransformer`.
          present: True for an event, False for padding, which stands last; None: all are there.
          dropout: of tokens and state.

        Raises:
          ValueError: Shapes do not fit.
        """
        present = checked(times, signs, values, persons, present, self.columns)
        x = self.embedding(times, signs, values, present)
        # The state stays as it is at padding, so that the last one is that after the last event.
        state = self.cell.read(x if dropout is None else dropout.fold("embedding")(x), present)[:, -1]
        if self.person is not None and persons is not None:
            state = state + self.person(persons).sum(axis=1)
        state, dropout = self.norm(state), folded(dropout, "head")
        return self.head(state if dropout is None else dropout(state))


def checked(
    times: Array, signs: Array, values: Array, persons: Array | None, present: Array | None, columns: int
) -> Bool[Array, "B T"]:
    """Returns which events are there.

    Raises:
      ValueError: Shapes do not fit.
    """
    if times.ndim != 2 or times.shape != signs.shape or times.shape != values.shape:
        shapes = ", ".join(str(list(x.shape)) for x in (times, signs, values))
        raise ValueError(f"times, signs and values {shapes}: expected (B, T) of all three")
    if (0 if persons is None else persons.shape[-1]) != columns:
        came = None if persons is None else list(persons.shape)
        raise ValueError(f"persons {came}: expected (B, {columns})")
    if present is None:
        return jnp.ones(times.shape, bool)
    require_present("present", present, times.shape)
    return present
