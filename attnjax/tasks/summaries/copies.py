"""The origin of a summary's words: the probability of a copy, and what masking the text changes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.data.text.tokenizer import BOS, UNK
from attnjax.nn import Capture
from attnjax.tasks.summaries.summary import COPIED, WrittenWord
from attnjax.tasks.translation.losses import attention_to_source
from attnjax.tasks.translation.words import word_weights, words_of


class Traced(NamedTuple):
    """The tokens of given summaries, as the model sees them.

    Attributes:
      log_probs: [B, L], of each token.
      weights: [B, L, S], of each token on the text: the last layer, the mean of its heads.
      copied: [B, L], the probability that a token was copied, given that it was written; 0 where the model
        cannot copy.
    """

    log_probs: Float[Array, "B L"]
    weights: Float[Array, "B L S"]
    copied: Float[Array, "B L"]


def traced(model: Any, arrays: Mapping[str, Array]) -> Traced:
    """Returns where the tokens of summaries that are given are from.

    A token w is written with P(w) = g·softmax(logits)_w + (1 - g)·Σ_{j: source_j = w} a_j; that it was copied
    has the probability of the second term, divided by P(w).

    Args:
      model: an encoder-decoder.
      arrays: "source" [B, S], "source_lengths" [B] and "target" [B, L], tokens with the end mark and none
        that begins them.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017, arXiv:1704.04368.
    """
    source, target = arrays["source"], arrays["target"]
    fed = jnp.concatenate([jnp.full_like(target[:, :1], BOS), target[:, :-1]], axis=1)
    output = model(source, arrays["source_lengths"], fed, capture=Capture(hidden=True))
    scores = jax.nn.log_softmax(output.logits.astype(jnp.float32))
    log_probs = jnp.take_along_axis(scores, target[..., None], axis=-1)[..., 0]
    weights = attention_to_source(output.weights, None).mean(1).astype(jnp.float32)
    if model.copying is None:
        return Traced(log_probs, weights, jnp.zeros_like(log_probs))
    last = output.hidden["decoder_norm" if "decoder_norm" in output.hidden else "decoder"]
    same = source[:, None, :] == target[:, :, None]
    found = jax.nn.sigmoid(-model.copying.gate(last)) * jnp.sum(weights * same, axis=-1)
    return Traced(log_probs, weights, jnp.clip(found / jnp.exp(log_probs), 0, 1))


def written_words(
    weights: Float[np.ndarray, "L S"],
    copied: Float[np.ndarray, " L"] | None,
    source: Sequence[str],
    target: Sequence[str],
) -> tuple[WrittenWord, ...]:
    """Returns the words of a summary, each as likely a copy as its pieces are in the mean.

    A word that was copied names, of the equal words of the text, the one with the greatest weight.

    Args:
      weights: of each piece on the text.
      copied: of each piece; None: the model cannot copy.
      source: the pieces of the text.
      target: those of the summary.

    Example:
      >>> weights, copied = np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([0.5, 1.0])
      >>> written_words(weights, copied, [" a", " socket"], [" sock", "et"])
      (WrittenWord(word='socket', share=0.75, place=1, source='socket'),)
    """
    text, summary = "".join(source).split(), "".join(target).split()
    looked, members = word_weights(weights, source, target), np.array(words_of(target))
    found = []
    for number, word in enumerate(summary):
        share = None if copied is None else float(copied[members == number].mean())
        own = looked[number]
        if share is not None and share > COPIED and word in text:  # It was copied from one of these.
            own = np.where(np.array(text) == word, own, -1.0)
        place = int(own.argmax()) if text else -1
        found.append(WrittenWord(word, share, place, text[place] if text else ""))
    return tuple(found)


def masked_where_it_looks(
    arrays: Mapping[str, np.ndarray], weights: Float[np.ndarray, "B L S"], rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Returns the token of each summary with the greatest weight, and texts with a token masked each.

    They are "where it looks", the token of the text with that weight, and "elsewhere", any other one.

    Args:
      arrays: as `traced` takes them, with "counts" [B], the tokens of a summary with its end mark.
      weights: what it returned.
      rng: draws the other tokens.
    """
    rows = np.arange(len(weights))
    written = np.arange(weights.shape[1])[None, :, None] < arrays["counts"][:, None, None] - 1
    inside = np.where(written, weights, -1.0).reshape(len(weights), -1).argmax(-1)
    tokens, places = np.divmod(inside, weights.shape[2])
    others = rng.integers(0, np.maximum(1, arrays["source_lengths"] - 1))
    others += others >= places
    masked = {}
    for name, chosen in (("where it looks", places), ("elsewhere", others)):
        source = arrays["source"].copy()
        source[rows, np.minimum(chosen, source.shape[1] - 1)] = UNK
        masked[name] = {**arrays, "source": source}
    return tokens, masked
