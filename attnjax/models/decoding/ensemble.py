"""Several models that write as one."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

Mean = Literal["probabilities", "log_probabilities"]


class Ensemble(nnx.Module):
    """Several models over the same tokens, whose distributions are averaged at each step.

    It is a model for every strategy of `generate`. The mean of log probabilities, of which OpenNMT-py takes
    the plain mean, is a distribution again here: the geometric mean.

    Args:
      models: one or more.
      mean: of "probabilities" or "log_probabilities".

    Raises:
      ValueError: There is no model, the mean is another; in decoding: their vocabularies differ in size.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig, generate
      >>> config = LanguageModelConfig(dim=8, layers=1)
      >>> models = [LanguageModel(config, vocab=11, rngs=nnx.Rngs(seed)) for seed in (0, 1)]
      >>> prompts, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
      >>> generate(Ensemble(models), prompts, lengths, eos=2, pad=0, max_length=3).tokens.shape
      (2, 3)
    """

    continues: ClassVar[bool] = False

    def __init__(self, models: Sequence[Any], *, mean: Mean = "probabilities") -> None:
        if not models:
            raise ValueError("models: expected 1 or more")
        if mean not in ("probabilities", "log_probabilities"):
            raise ValueError(f"mean {mean!r}: expected 'probabilities' or 'log_probabilities'")
        self.models, self.mean = nnx.List(models), mean
        self.continues = models[0].continues  # type: ignore[misc]

    def start(
        self, inputs: Int[Array, "B S"], lengths: Int[Array, " B"], *, bos: Int[Array, ""] | None, room: int
    ) -> tuple[Int[Array, " B"], tuple[Any, ...]]:
        """Returns each row's token before the first that is emitted, and the models' caches."""
        started = [model.start(inputs, lengths, bos=bos, room=room) for model in self.models]
        return started[0][0], tuple(cache for _, cache in started)

    def extend(
        self, tokens: Int[Array, "B T"], cache: tuple[Any, ...]
    ) -> tuple[Float[Array, "B T V"], tuple[Any, ...], Float[Array, "B T D"]]:
        """Returns log probabilities, the caches, and the last vectors of all models side by side."""
        logits, caches, hidden = zip(*(m.extend(tokens, c) for m, c in self._each(cache)), strict=True)
        return self._averaged(logits), caches, jnp.concatenate(hidden, axis=-1)

    def attend(
        self, tokens: Int[Array, "B T"], cache: tuple[Any, ...]
    ) -> tuple[Float[Array, "B T V"], tuple[Any, ...], Float[Array, "B T S"]]:
        """Returns log probabilities, the caches, and the mean of the models' attention to the source."""
        logits, caches, weights = zip(*(m.attend(tokens, c) for m, c in self._each(cache)), strict=True)
        return self._averaged(logits), caches, jnp.mean(jnp.stack(weights), axis=0)

    def _each(self, cache: tuple[Any, ...]) -> Any:
        return zip(self.models, cache, strict=True)

    def _averaged(self, logits: Sequence[Float[Array, "B T V"]]) -> Float[Array, "B T V"]:
        sizes = [x.shape[-1] for x in logits]
        if len(set(sizes)) > 1:
            raise ValueError(f"models have {sizes} tokens: expected equal numbers")
        each = jnp.stack([jax.nn.log_softmax(x.astype(jnp.float32)) for x in logits])
        if self.mean == "probabilities":
            return jax.nn.logsumexp(each, axis=0) - jnp.log(len(sizes))
        return jax.nn.log_softmax(jnp.mean(each, axis=0))
