"""Cells of recurrent networks, and sequences that they read."""

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.joining import Linear

State = tuple[Float[Array, "*B D"], ...]
"""The state of a cell: h, which it gives, and what else it keeps."""
CellKind = Literal["lstm", "gru"]


class RecurrentCell(nnx.Module):
    """A cell: a state, and the next one with an input.

    A subclass computes its gates from what `of_input` makes of the input, for a whole sequence at once, and
    what `of_state` makes of h.

    Args:
      inputs: the width of an input.
      dim: D, the width of h.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters, uniform in ±1/√D but for biases.
    """

    gates: ClassVar[int]
    """The number of vectors of width D that the maps of input and state give."""
    kept: ClassVar[int]
    """The number of vectors of a state."""
    state_bias: ClassVar[bool]
    """True if the map of the state has a bias of its own, which differs from one of the input."""

    def __init__(
        self,
        inputs: int,
        dim: int,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = dim

        def uniform(key: Array, shape: tuple[int, ...], kind: Any) -> Array:
            return jax.random.uniform(key, shape, kind, -(dim**-0.5), dim**-0.5)

        def mapped(size: int, bias: bool) -> Linear:
            return Linear(
                size,
                self.gates * dim,
                use_bias=bias,
                kernel_init=uniform,
                kernel_metadata=named("embed", "width"),
                bias_metadata=named("width"),
                dot_general=flat_dot_general,
                dtype=dtype,
                param_dtype=param_dtype,
                rngs=rngs,
            )

        self.of_input, self.of_state = mapped(inputs, True), mapped(dim, self.state_bias)

    def start(self, batch: tuple[int, ...], dtype: DTypeLike) -> State:
        """Returns the state before the first input: zeros."""
        return (jnp.zeros((*batch, self.dim), dtype),) * self.kept

    def step(self, state: State, x: Float[Array, "*B G"]) -> State:
        """Returns the state after an input, of which `of_input` made x."""
        raise NotImplementedError

    def read(
        self, x: Float[Array, "B S I"], inside: Bool[Array, "B S"], *, reverse: bool = False
    ) -> Float[Array, "B S D"]:
        """Returns h after each input of a sequence, from its end on with `reverse`.

        Args:
          x: the inputs.
          inside: True where there is one; what is no input leaves the state as it is.
          reverse: whether the last one comes first.
        """

        def step(state: State, row: tuple[Array, Array]) -> tuple[State, Array]:
            gates, there = row
            new = self.step(state, gates)
            state = tuple(jnp.where(there[:, None], a, b) for a, b in zip(new, state, strict=True))
            return state, state[0]

        gates = self.of_input(x)
        rows = jnp.moveaxis(gates, 1, 0), jnp.moveaxis(inside, 1, 0)
        out = jax.lax.scan(step, self.start(x.shape[:1], gates.dtype), rows, reverse=reverse)[1]
        return jnp.moveaxis(out, 0, 1)


class LSTM(RecurrentCell):
    """Long short-term memory: c' = σ(f)·c + σ(i)·tanh(g), h' = σ(o)·tanh(c'), (i, f, g, o) = W x + U h + b.

    Args:
      inputs, dim, dtype, param_dtype, rngs: as in `RecurrentCell`. b starts at 0, but at 1 for f.

    References:
      Hochreiter & Schmidhuber, Long Short-Term Memory, 1997.
      Jozefowicz et al., An Empirical Exploration of Recurrent Network Architectures, 2015 (b of f).

    Example:
      >>> cell = LSTM(3, 4, rngs=nnx.Rngs(0))
      >>> cell.read(jnp.ones((2, 5, 3)), jnp.ones((2, 5), bool)).shape
      (2, 5, 4)
    """

    gates, kept, state_bias = 4, 2, False

    def __init__(self, inputs: int, dim: int, **options: Any) -> None:
        super().__init__(inputs, dim, **options)
        assert self.of_input.bias is not None
        self.of_input.bias[...] = self.of_input.bias[...].at[dim : 2 * dim].set(1)

    def step(self, state: State, x: Float[Array, "*B G"]) -> State:
        """Returns h and c after an input."""
        h, c = state
        i, f, g, o = jnp.split(x + self.of_state(h), 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c


class GRU(RecurrentCell):
    """A gated recurrent unit: h' = (1 - z)·n + z·h, n = tanh(W x + b + r·(U h + d)), r and z by σ.

    It is cuDNN's and PyTorch's, whose r comes after the product with U; in the paper it comes before.

    Args:
      inputs, dim, dtype, param_dtype, rngs: as in `RecurrentCell`. Biases start at 0.

    References:
      Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014, arXiv:1406.1078.

    Example:
      >>> cell = GRU(3, 4, rngs=nnx.Rngs(0))
      >>> cell.read(jnp.ones((2, 5, 3)), jnp.ones((2, 5), bool), reverse=True).shape
      (2, 5, 4)
    """

    gates, kept, state_bias = 3, 1, True

    def step(self, state: State, x: Float[Array, "*B G"]) -> State:
        """Returns h after an input."""
        (h,) = state
        r, z, n = jnp.split(x, 3, axis=-1)
        r_of_h, z_of_h, n_of_h = jnp.split(self.of_state(h), 3, axis=-1)
        z = jax.nn.sigmoid(z + z_of_h)
        n = jnp.tanh(n + jax.nn.sigmoid(r + r_of_h) * n_of_h)
        return ((1 - z) * n + z * h,)


CELLS: dict[str, type[RecurrentCell]] = {"lstm": LSTM, "gru": GRU}
"""The cells by the name that a config calls them by."""
