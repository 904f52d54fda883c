"""Questions as other packages ask them: shap and lime by a function of masks, captum by `attribute`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.config import require
from attnjax.explain.attributions.attribution import METHODS, attribute
from attnjax.explain.attributions.perturbation import values_of
from attnjax.explain.question import Question, ask
from attnjax.explain.target import Target


def of_masks(question: Question, baseline: Any = None) -> Callable[[Any], Float[np.ndarray, " M"]]:
    """Returns the number of one input as a function of the tokens that are left in, [M, T] of 0 and 1.

    It is what `shap.KernelExplainer(f, np.zeros((1, T))).shap_values(np.ones((1, T)))` calls, and the
    `predict_fn` of lime's tables.

    Args:
      question: from `ask`, about one input.
      baseline: what stands in the place of a token that is left out, as in `integrated_gradients`.

    Raises:
      InputError: the question is about several inputs.

    Example:
      >>> from flax import nnx
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> question = ask(model, jnp.array([[3, 1, 4]]))
      >>> f = of_masks(question)
      >>> bool(np.isclose(f(np.ones((1, 3)))[0], question.value()[0], atol=1e-5))
      True
    """
    batch, tokens = question.present.shape
    require(batch == 1, f"question: {batch} inputs came, a function of masks is of one")

    def values(masks: Any) -> Float[np.ndarray, " M"]:
        kept = np.asarray(masks).astype(bool)
        require(
            kept.ndim == 2 and kept.shape[1] == tokens, f"masks {list(kept.shape)}: expected (M, {tokens})"
        )
        return np.asarray(_values(question, jnp.asarray(kept)[:, None], baseline))[:, 0]

    return values


_values: Callable[[Question, Bool[Array, "M B T"], Any], Float[Array, "M B"]] = jax.jit(values_of)


@dataclass(frozen=True)
class CaptumStyle:
    """A method for a model, called as those of captum.

    Attributes:
      method: its name in `METHODS`.
      model: as in `ask`.

    Example:
      >>> from flax import nnx
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> explainer = CaptumStyle("integrated_gradients", model)
      >>> scores, delta = explainer.attribute(
      ...     jnp.array([[3, 1, 4]]), baselines=0, target=2, n_steps=8, return_convergence_delta=True
      ... )
      >>> scores.shape, delta.shape
      ((1, 3), (1,))
    """

    method: str
    model: Any

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        n_steps: int | None = None,
        *,
        return_convergence_delta: bool = False,
        **options: Any,
    ) -> Any:
        """Returns the scores [B, T], and with return_convergence_delta what they miss [B].

        Args:
          inputs: what the model reads, one array or a tuple of them.
          baselines: as the `baseline` of the method.
          target: the class, whose logit is explained; None: the predicted one.
          n_steps: as the `steps` of the method.
          return_convergence_delta: whether the second is returned. As in captum it is the sum of the scores
            less the difference of the ends.
          options: of the method, or of the model.

        Raises:
          InputError: as `attribute`, and where the method has no convergence delta.
        """
        given = {"baseline": baselines, "steps": n_steps}
        own = {name: options.pop(name) for name in list(options) if name in METHODS[self.method].options}
        own |= {name: x for name, x in given.items() if x is not None}
        arrays = inputs if isinstance(inputs, tuple) else (inputs,)
        found = attribute(self.method, ask(self.model, *arrays, target=Target(target), **options), **own)
        if not return_convergence_delta:
            return found.scores
        require(found.error is not None, f"return_convergence_delta: {self.method} has no baseline")
        return found.scores, -found.error  # type: ignore[operator]
