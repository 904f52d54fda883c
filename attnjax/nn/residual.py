"""A residual connection around a layer, with its norms."""

from typing import Literal, get_args

from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.attention.depth import Depth
from attnjax.nn.dropout import Dropout
from attnjax.nn.layer_scale import LayerScale
from attnjax.nn.norm import Norm

Placement = Literal["pre", "post", "inner", "sandwich"]


class Residual(nnx.Module):
    """A residual connection around a layer f, with norms.

        "pre"       x + f(norm(x))
        "post"      norm(x + f(x))
        "inner"     x + norm(f(x))
        "sandwich"  x + after(f(norm(x)))

    Dropout applies to what is added to x.

    Args:
      norm: the norm.
      placement: of the norm.
      scale: of what is added; None: there is none.
      after: the second norm of a sandwich.

    Raises:
      ValueError: The placement is another, or a second norm comes without a sandwich, or the other way round.

    References:
      Xiong et al., On Layer Normalization in the Transformer Architecture, 2020, arXiv:2002.04745 ("pre").
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762 ("post").
      Liu et al., Swin Transformer V2, 2021, arXiv:2111.09883; OLMo Team, 2 OLMo 2 Furious, 2025,
      arXiv:2501.00656 ("inner").
      Ding et al., CogView, 2021, arXiv:2105.13290; Gemma Team, Gemma 2, 2024, arXiv:2408.00118 ("sandwich").
    """

    def __init__(
        self, norm: Norm, placement: Placement, scale: LayerScale | None = None, after: Norm | None = None
    ) -> None:
        if placement not in get_args(Placement):
            raise ValueError(f"placement {placement!r}: expected one of {', '.join(get_args(Placement))}")
        if (placement == "sandwich") != (after is not None):
            raise ValueError(f"after {after!r} with placement {placement!r}: a sandwich alone has both")
        self.norm = norm
        self.after = after
        self.placement = placement
        self.scale = scale

    def enter(self, x: Float[Array, "*B T D"], depth: Depth | None = None) -> Float[Array, "*B T D"]:
        """Returns the argument of f."""
        return self.norm(x) if self.placement in ("pre", "sandwich") else x

    def leave(
        self,
        x: Float[Array, "*B T D"],
        change: Float[Array, "*B T D"],
        dropout: Dropout | None,
        depth: Depth | None = None,
    ) -> Float[Array, "*B T D"]:
        """Returns the sum of x and f's result."""
        if self.placement == "inner":
            change = self.norm(change)
        elif self.after is not None:
            change = self.after(change)
        change = change if self.scale is None else self.scale(change)
        total = x + (change if dropout is None else dropout(change))
        return self.norm(total) if self.placement == "post" else total
