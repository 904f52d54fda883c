"""Attributions of a text, each with its measured faithfulness, as the viewer shows them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from attnjax.config import InputError
from attnjax.explain.attributions.attribution import METHODS, Attribution, attribute, require_fits
from attnjax.explain.faithfulness.measure import faithfulness
from attnjax.explain.faithfulness.table import BEST, RANDOM, Faithfulness
from attnjax.explain.question import Question, ask
from attnjax.explain.target import Target
from attnjax.explain.viewer import FaithfulnessRow, Saliency
from attnjax.models.encoder import Encoder
from attnjax.models.language_model import LanguageModel

USUAL = ("gradient_x_input", "integrated_gradients", "occlusion", "chefer")
"""The methods where none is named; those that do not fit a model are left out."""
MEASURES = ("comprehensiveness", "sufficiency", "naopc")
MOST_MEASURED = 32
"""Tokens of the longest input whose attributions are measured: the best order is searched for among them."""
ORDERS = 5


def question_of(model: Any, ids: Sequence[int], written: Sequence[int], bos: int | None) -> Question | None:
    """Returns the question why a model gives its class, or wrote each of its tokens.

    Args:
      model: that reads the text.
      ids: the tokens of the text.
      written: those that it wrote; where it wrote none, its next token is asked for.
      bos: begins what an encoder-decoder writes.

    Returns:
      The question about a probability, with a row for each token written; None for a model that has no head
      of classes or tokens, or an encoder whose head fills in masked tokens.
    """
    if isinstance(model, Encoder):
        of_text = model.head is not None and model.config.head == "labels"
        return ask(model, jnp.array([ids]), target=Target(of="probability")) if of_text else None
    if not written:
        return ask(model, jnp.array([ids]), target=Target(of="probability"))
    rows = len(written)
    index, number = jnp.array(written), jnp.arange(rows)

    def repeated(tokens: Sequence[int]) -> Any:
        return jnp.tile(jnp.array([tokens], jnp.int32), (rows, 1))

    if isinstance(model, LanguageModel):
        place = len(ids) - 1 + number
        target = Target(index, "probability", place)
        return ask(model, repeated([*ids, *written[:-1]]), lengths=place + 1, target=target)
    target = Target(index, "probability", number)
    fed = repeated([bos or 0, *written[:-1]])
    return ask(model, repeated(ids), jnp.full(rows, len(ids)), fed, target=target)


def saliencies(
    question: Question, names: Sequence[str], methods: Sequence[str] | None, notify: Callable[[str], None]
) -> list[Saliency]:
    """Returns the scores of tokens by several methods, beside how faithful they are.

    Faithfulness is the mean over the rows of the question, of inputs of at most 32 tokens. Longer ones have
    none: the search for the best order would take long.

    Args:
      question: from `question_of`.
      names: of the tokens that get scores.
      methods: of `METHODS`; None: the usual ones that fit the model.
      notify: told what is computed now.

    Raises:
      InputError: A method is unknown, or does not fit the model.
    """
    chosen = [name for name in USUAL if _fits(name, question)] if methods is None else methods
    found, measured = {}, None
    for name in chosen:
        notify(f"attributing by {name}")
        found[name] = attribute(name, question)
    if found and question.present.shape[1] <= MOST_MEASURED:
        notify("measuring how faithful these are")
        measured = faithfulness(question, dict(found), MEASURES, orders=ORDERS, beam=1)
    return [_saliency(attribution, names, measured) for attribution in found.values()]


def _fits(name: str, question: Question) -> bool:
    try:
        require_fits(METHODS[name], question)
    except InputError:
        return False
    return True


def _saliency(found: Attribution, names: Sequence[str], measured: Faithfulness | None) -> Saliency:
    scores = np.asarray(found.scores, np.float32)
    if len(scores) == 1:
        scores = scores[0]
    rows = {}
    if measured is not None:
        table = measured.table
        rows = {
            name: FaithfulnessRow(table[found.method][name], table[RANDOM][name], table[BEST][name])
            for name in MEASURES
        }
    return Saliency(found.method, names, scores, target="the probability of what it chose", faithfulness=rows)
