"""The number of a model's output that is explained."""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.config import require

Of = Literal["logit", "log_probability", "probability", "loss"]
_OF = ("logit", "log_probability", "probability", "loss")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Target:
    """The logit, or a probability, of a class or of a next token.

    Attributes:
      index: the class or token, one for all rows or [B]; None: what the model predicts.
      of: "logit", "log_probability", "probability", or "loss", the negative log-probability.
      place: of logits [B, T, V] the row that is read, one or [B]; None: a language model's last token.
      against: another class, whose logit is taken away; None: none. It goes with "logit".

    Raises:
      InputError: `of` is another, or `against` comes with a probability.

    Example:
      >>> Target(1, "probability")(jnp.array([[0.0, 0.0]])).tolist()
      [0.5]
    """

    index: Any = None
    of: Of = field(default="logit", metadata={"static": True})
    place: Any = None
    against: Any = None

    def __post_init__(self) -> None:
        require(self.of in _OF, f"target.of is {self.of!r}: expected one of {', '.join(_OF)}")
        require(
            self.against is None or self.of == "logit",
            f"target.against with {self.of!r}: expected 'logit', a difference of logits",
        )

    def __call__(self, logits: Float[Array, "B *T L"]) -> Float[Array, " B"]:
        """Returns the number of each row."""
        logits = self._read(logits)
        if self.of == "probability":
            logits = jax.nn.softmax(logits)
        elif self.of != "logit":
            logits = jax.nn.log_softmax(logits)
        value = _at(logits, self.index)
        if self.against is not None:
            value = value - _at(logits, self.against)
        return -value if self.of == "loss" else value

    def predicted(self, logits: Float[Array, "B *T L"]) -> Int[Array, " B"]:
        """Returns the class or token of the highest logit."""
        return jnp.argmax(self._read(logits), axis=-1)

    def _read(self, logits: Float[Array, "B *T L"]) -> Float[Array, "B L"]:
        if logits.ndim == 2:
            return logits
        place = jnp.broadcast_to(jnp.asarray(self.place), logits.shape[:1])
        return jnp.take_along_axis(logits, place[:, None, None], axis=1)[:, 0]


def _at(logits: Float[Array, "B L"], index: Any) -> Float[Array, " B"]:
    index = jnp.broadcast_to(jnp.asarray(index), logits.shape[:1])
    return jnp.take_along_axis(logits, index[:, None], axis=1)[:, 0]
