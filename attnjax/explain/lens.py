"""The logit lens: what a model would answer from the residual stream below."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.explain.question import Question
from attnjax.nn.taps import patch


@jax.jit
def logit_lens(question: Question) -> Float[Array, "L B *T V"]:
    """Returns the logits that the head makes of the result of each layer, the last of which are the model's.

    Reference:
      nostalgebraist, interpreting GPT: the logit lens, 2020.

    Example:
      >>> from flax import nnx
      >>> from attnjax.explain import ask
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=2), vocab=11, rngs=nnx.Rngs(0))
      >>> logit_lens(ask(model, jnp.array([[3, 1, 4]]))).shape
      (2, 1, 3, 11)
    """
    require(question.layers > 0, "question: a recurrent network has no residual stream")
    paths = [f"{question.stack}.{layer}.residual" for layer in range(question.layers)]
    found = question.read(*paths)
    streams = jnp.stack([found[path] for path in paths])

    def answer(stream: Array) -> Array:
        return question.read("logits", write={paths[-1]: patch(stream)})["logits"]

    return jax.vmap(answer)(streams)
