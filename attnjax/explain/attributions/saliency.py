"""The saliency maps of AllenNLP, with its constants and its normalisation.

Each is |Σ_d g_d| of a token over their sum, with the gradient g of the loss of the class; the first two take
g times the vector. As in its code, the third does not: where all that reads the vectors is a LayerNorm, as in
BERT and GPT-2, its sums are 0 by definition, and what it gives is rounding.

References:
  Wallace et al., AllenNLP Interpret: A Framework for Explaining Predictions of NLP Models, 2019,
  arXiv:1909.09251.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.explain.attributions.attribution import Attribution, method
from attnjax.explain.attributions.gradients import gradient_at, integrated_gradients, smoothed
from attnjax.explain.question import Question
from attnjax.explain.target import Target

_STEPS, _SAMPLES, _NOISE = 10, 25, 0.01


@method("allennlp_simple", "gradients", paper="1909.09251")
def simple(question: Question) -> Attribution:
    """Returns AllenNLP's simple gradient: |gradient of the loss × vector| of each token over their sum."""
    question = question.with_target(Target(of="loss"))
    vectors = question.vectors()
    value, gradient = gradient_at(question, vectors)
    return _normalised(question, "allennlp_simple", (gradient * vectors).sum(-1), value)


@method("allennlp_integrated", "gradients", paper="1909.09251")
def integrated(question: Question) -> Attribution:
    """Returns AllenNLP's integrated gradient: 10 points from 0 on, without 1, as |·| over their sum."""
    question = question.with_target(Target(of="loss"))
    found = integrated_gradients(question, steps=_STEPS, rule="left")
    return _normalised(question, "allennlp_integrated", found.scores, found.value)


@method("allennlp_smooth", "gradients", paper="1909.09251", static=("samples",))
def smooth(question: Question, seed: int = 0, samples: int = _SAMPLES) -> Attribution:
    """Returns AllenNLP's smooth gradient: the mean under noise of 1% of the spread, as |·| over their sum."""
    question = question.with_target(Target(of="loss"))
    mean = smoothed(question, question.vectors(), samples, _NOISE, seed)
    return _normalised(question, "allennlp_smooth", mean.sum(-1), question.value())


def _normalised(
    question: Question, name: str, sums: Float[Array, "B T"], value: Float[Array, " B"] | None
) -> Attribution:
    sizes = jnp.where(question.present, jnp.abs(sums), 0)
    total = sizes.sum(-1, keepdims=True)
    return Attribution(sizes / jnp.where(total == 0, 1, total), question.present, name, value)
