"""The rule by which a mixture chooses the experts of a token and weighs them."""

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.dtypes import accumulation_dtype

RouterScore = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class ExpertRouting:
    """The rule by which a token chooses k of E experts, given their scores s.

    The experts are those of the highest p + c, where p is softmax(s) or σ(s) and c a correction for each
    expert that evens their loads and counts for nothing else. They weigh p, or p over the sum of the k, times
    a factor. Where experts stand in groups, those of the groups whose two best have the highest sum are
    chosen from.

    Attributes:
      score: p, "softmax" over all experts or "sigmoid" of each.
      sums_to_one: whether the weights are p over their sum.
      scale: the factor.
      groups: of neighbouring experts.
      active_groups: groups that a token chooses from.
      corrected: whether there is a c, which the mixture learns in another way than by a gradient.

    Raises:
      ValueError: The score is another, the factor not above 0, or groups are not 1 or more.

    References:
      Shazeer et al., Outrageously Large Neural Networks, 2017, arXiv:1701.06538.
      DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437 (sigmoid, groups, correction).

    Example:
      >>> weights, chosen = ExpertRouting()(jnp.array([[0.0, 2.0, 2.0]]), None, active=2)
      >>> weights.tolist(), chosen.tolist()
      ([[0.5, 0.5]], [[1, 2]])
    """

    score: RouterScore = "softmax"
    sums_to_one: bool = True
    scale: float = 1.0
    groups: int = 1
    active_groups: int = 1
    corrected: bool = False

    def __post_init__(self) -> None:
        if self.score not in get_args(RouterScore):
            raise ValueError(f"score {self.score!r}: expected one of {', '.join(get_args(RouterScore))}")
        if not self.scale > 0:
            raise ValueError(f"scale {self.scale!r}: expected a number above 0")
        if not 1 <= self.active_groups <= self.groups:
            raise ValueError(
                f"active_groups {self.active_groups} of groups {self.groups}: expected 1 or more, and no "
                "more than there are"
            )

    def require_fits(self, experts: int, active: int) -> None:
        """Raises ValueError for experts that do not stand in such groups, or too few to choose from."""
        size, left = divmod(experts, self.groups)
        if left or (self.groups > 1 and size < 2) or active > size * self.active_groups:
            raise ValueError(
                f"groups {self.groups}, active_groups {self.active_groups}: expected equal groups of "
                f"{experts} experts, of 2 or more, with {active} among the active ones"
            )

    def __call__(
        self, scores: Float[Array, "T E"], correction: Float[Array, " E"] | None, *, active: int
    ) -> tuple[Float[Array, "T k"], Int[Array, "T k"]]:
        """Returns the weights of the chosen experts in the dtype of the scores, and which they are."""
        full = scores.astype(accumulation_dtype(scores))
        if self.score == "softmax" and self.sums_to_one and correction is None and self.groups == 1:
            # The same of the k scores alone.
            best, chosen = jax.lax.top_k(full, active)
            weights = jax.nn.softmax(best, axis=-1)
        else:
            shares = jax.nn.softmax(full, axis=-1) if self.score == "softmax" else jax.nn.sigmoid(full)
            order = shares if correction is None else shares + correction.astype(shares.dtype)
            _, chosen = jax.lax.top_k(self._within_groups(jax.lax.stop_gradient(order)), active)
            weights = jnp.take_along_axis(shares, chosen, axis=-1)
            weights = weights / (weights.sum(-1, keepdims=True) + 1e-20) if self.sums_to_one else weights
        weights = weights if self.scale == 1 else self.scale * weights
        return weights.astype(scores.dtype), chosen

    def _within_groups(self, order: Float[Array, "T E"]) -> Float[Array, "T E"]:
        """Returns what experts are chosen by, -inf of those in groups that are not."""
        if self.groups == 1:
            return order
        grouped = order.reshape(len(order), self.groups, -1)
        of_groups = jax.lax.top_k(grouped, 2)[0].sum(-1)
        _, best = jax.lax.top_k(of_groups, self.active_groups)
        seen = jax.nn.one_hot(best, self.groups, dtype=bool).any(1)
        return jnp.where(seen[..., None], grouped, -jnp.inf).reshape(order.shape)
