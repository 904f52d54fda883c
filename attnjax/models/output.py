"""The outputs of models, and what is collected for them layer by layer."""

from typing import Generic, NamedTuple, TypeVar

from jaxtyping import Array, Float

from attnjax.nn import Capture
from attnjax.nn.taps import Asked, Request, Sites, Taps, within

Cache = TypeVar("Cache")
Weights = dict[str, Float[Array, "B N rows S"]]
"""Attention weights before dropout, by the path of their layer ("blocks.1.attention")."""
Hidden = dict[str, Float[Array, "B rows D"]]
"""Vectors of tokens by the path of what they come out of ("embedding", "blocks.1", "norm")."""
Tapped = dict[str, Float[Array, "..."]]
"""The arrays of sites by their path ("blocks.1.attention.heads")."""


class ModelOutput(NamedTuple, Generic[Cache]):
    """The output of a model, whatever it was asked for.

    Attributes:
      logits: [B, T, V], in float32 or better.
      cache: with the tokens of this call appended; None where no cache was given.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
      taps: the arrays of the sites that `Taps` read.
    """

    logits: Float[Array, "B T V"]
    cache: Cache | None
    weights: Weights
    hidden: Hidden
    taps: Tapped = {}  # noqa: RUF012, the default of a named tuple


class EncoderOutput(NamedTuple):
    """The output of an encoder of texts or images, whatever it was asked for.

    Attributes:
      states: the tokens as vectors [B, T, D]; those of the padding mean nothing.
      pooled: a vector for each row [B, D]: that of its first or last token, or the mean of all, after the
        pooler where there is one.
      logits: of the head, [B, T, V], [B, T, L] or [B, L], in float32 or better; None where there is no head.
      pair: logits of the head of sentence pairs [B, 2]; None where there is none.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
      taps: the arrays of the sites that `Taps` read.
    """

    states: Float[Array, "B T D"]
    pooled: Float[Array, "B D"]
    logits: Float[Array, "B *T L"] | None
    pair: Float[Array, "B 2"] | None
    weights: Weights
    hidden: Hidden
    taps: Tapped = {}  # noqa: RUF012, the default of a named tuple


class Encoded(NamedTuple):
    """The output of an encoder, whatever it was asked for.

    Attributes:
      memory: the source as vectors [B, S, D]; those of the padding mean nothing.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
      taps: the arrays of the sites that `Taps` read.
    """

    memory: Float[Array, "B S D"]
    weights: Weights
    hidden: Hidden
    taps: Tapped = {}  # noqa: RUF012, the default of a named tuple


class Captured:
    """The arrays that a capture asks for, as a stack of layers gives them.

    Args:
      asked: the request; None: nothing is collected.
      stack: the name of the stack.
    """

    def __init__(self, asked: Asked, stack: str) -> None:
        self.asked = asked if isinstance(asked, Capture) else None
        self.sites = sites_of(asked)
        self.whole = isinstance(asked, Taps)
        self.stack = stack
        self.weights: Weights = {}
        self.hidden: Hidden = {}

    @property
    def nothing(self) -> bool:
        """True if no call asks for anything, so that layers need not stand by themselves."""
        return self.asked is None and self.sites is None

    def layer(self, number: int) -> Request:
        """Returns the request as layer `number` sees it."""
        if self.asked is not None:
            return self.asked.layer(number)
        return within(self.sites, f"{self.stack}.{number}")

    def add_layer(self, number: int, x: Float[Array, "B T D"], weights: Weights) -> None:
        """Takes in what layer `number` gives; its weights are what it was asked for."""
        self.weights |= {f"{self.stack}.{number}.{name}": w for name, w in weights.items()}
        if self.asked is not None and self.asked.layer(number) is not None:
            self.add(f"{self.stack}.{number}", x)

    def add(self, path: str, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Takes in vectors of all tokens, where they are asked for, and returns those to go on with."""
        if self.asked is not None and self.asked.hidden:
            self.hidden[path] = self.asked.of_tokens(x)
        return x if self.sites is None else self.sites(path, x)

    @property
    def taps(self) -> Tapped:
        """The arrays that `Taps` read in this call.

        Raises:
          ValueError: A pattern is that of no site.
        """
        if self.sites is None or not self.whole:
            return {}
        self.sites.require_known()
        return self.sites.found


def sites_of(asked: Asked) -> Sites | None:
    """Returns the sites of a call, those of the model around it where it is given them."""
    if isinstance(asked, Taps):
        return Sites(asked)
    return asked if isinstance(asked, Sites) else None
