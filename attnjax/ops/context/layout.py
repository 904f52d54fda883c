"""The layout of a sequence's tokens on the devices of a mesh axis."""

import dataclasses
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

Order = Literal["contiguous", "zigzag"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclasses.dataclass(frozen=True)
class ShardLayout:
    """The devices of a mesh axis and the chunks of a sequence that each of them holds.

    "contiguous": device d holds chunk d of n. "zigzag": it holds the chunks d and 2n - 1 - d of 2n, so that
    under a causal mask every device has as many pairs to attend (Zhu, 2024; Brandon et al., 2023).
    """

    axis: str
    shards: int
    order: Order = "contiguous"

    @property
    def chunks(self) -> np.ndarray:
        """The chunks of each device, [shards, 1 or 2]."""
        device = np.arange(self.shards, dtype=np.int32)
        if self.order == "contiguous":
            return device[:, None]
        return np.stack([device, 2 * self.shards - 1 - device], axis=1)

    def check(self, name: str, length: int) -> None:
        """Raises ValueError for a length that is not the same on all devices."""
        parts = self.chunks.size
        if length % parts:
            why = "in zigzag order 2 for each device" if self.order == "zigzag" else "1 for each device"
            near = max(parts, round(length / parts) * parts)
            raise ValueError(
                f"{name} = {length} tokens over mesh axis {self.axis!r} of {self.shards} devices: expected a "
                f"multiple of {parts} chunks ({why}), as {near} is"
            )

    def positions(self, device: Any, length: int) -> Int[Array, " t"]:
        """The positions of the tokens of a device, of a sequence of this length."""
        size = length // self.chunks.size
        first = jnp.asarray(self.chunks)[device] * jnp.int32(size)
        return (first[:, None] + jnp.arange(size, dtype=jnp.int32)).reshape(-1)

    def order_of(self, length: int) -> np.ndarray:
        """The positions of all tokens, [length], in the order in which they lie."""
        size = length // self.chunks.size
        return (self.chunks.reshape(-1, 1) * size + np.arange(size)).reshape(-1)


def to_zigzag(x: Any, shards: int, axis: int = 0) -> Array:
    """Returns tokens in the order by which, dealt out to devices, all have as much causal attention to do.

    Of 2·shards chunks the device d of a mesh axis gets the chunks d and 2·shards - 1 - d. What belongs to
    tokens is reordered alike: ids, positions of rotary embeddings, targets. `from_zigzag` is the inverse.

    Args:
      x: array with an axis of tokens.
      shards: devices of the mesh axis.
      axis: of the tokens; that of [*B, T, N, H] is -3.

    Returns:
      An array of the same shape.

    Raises:
      ValueError: the tokens are no multiple of 2·shards.

    References:
      Brandon et al., Striped Attention: Faster Ring Attention for Causal Transformers, 2023
      (arXiv:2311.09431).

    Example:
      >>> to_zigzag(jnp.arange(8), 2).tolist()
      [0, 1, 6, 7, 2, 3, 4, 5]
    """
    x = jnp.asarray(x)
    return jnp.take(x, _zigzag(x, shards, axis), axis=axis)


def from_zigzag(x: Any, shards: int, axis: int = 0) -> Array:
    """Returns tokens in their own order, that lie in the one of `to_zigzag`.

    Args:
      x: array with an axis of tokens.
      shards: devices of the mesh axis.
      axis: of the tokens.

    Returns:
      An array of the same shape.

    Raises:
      ValueError: the tokens are no multiple of 2·shards.

    Example:
      >>> from_zigzag(to_zigzag(jnp.arange(8), 2), 2).tolist()
      [0, 1, 2, 3, 4, 5, 6, 7]
    """
    x = jnp.asarray(x)
    return jnp.take(x, np.argsort(_zigzag(x, shards, axis)), axis=axis)


def _zigzag(x: Array, shards: int, axis: int) -> np.ndarray:
    layout = ShardLayout("", shards, "zigzag")
    if x.shape[axis] % layout.chunks.size:
        raise ValueError(
            f"x has {x.shape[axis]} tokens on axis {axis}: expected a multiple of 2·shards = {2 * shards}"
        )
    return layout.order_of(x.shape[axis])
