"""Penalties of whole sequences, by which beams are ranked."""

from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

LengthForm = Literal["power", "gnmt"]
CoverageForm = Literal["summary", "wu"]

LEAST = float(jnp.finfo(jnp.float32).tiny)
"""Of a coverage, whose logarithm is taken: a weight in float32 may be 0."""


def length_penalty(
    length: Num[Array, "..."] | float, degree: Any, form: LengthForm = "power"
) -> Float[Array, "..."]:
    """Returns what a sequence's log probability is divided by: n^degree, or GNMT's ((5 + n) / 6)^degree.

    Args:
      length: n, tokens with the end mark.
      degree: 0 for no penalty; of a power, 1 for the mean of the tokens' log probabilities.
      form: of the penalty.

    References:
      Wu et al., Google's Neural Machine Translation System, 2016, arXiv:1609.08144 (section 7).

    Example:
      >>> float(length_penalty(7, 1.0, "gnmt"))
      2.0
    """
    n = jnp.asarray(length, jnp.float32)
    return ((5 + n) / 6 if form == "gnmt" else n) ** degree


def coverage_penalty(
    coverage: Float[Array, "*B S"], present: Bool[Array, "*B S"], form: CoverageForm
) -> Float[Array, "*B"]:
    """Returns what is subtracted, times beta, from a sequence's score; 0 or more.

    "wu" is -Σ log min(c, 1), which grows where the source is left out; "summary" is Σ max(c, 1) - 1, which
    grows where it is read again and again.

    Args:
      coverage: c, the sum over all emitted tokens of their attention to each source position.
      present: the positions that are no padding.
      form: of the penalty.

    References:
      Wu et al., 2016, arXiv:1609.08144; Gehrmann et al., Bottom-Up Abstractive Summarization, 2018,
      arXiv:1808.10792.

    Example:
      >>> float(coverage_penalty(jnp.array([0.5, 2.5]), jnp.array([True, True]), "summary"))
      1.5
    """
    if form == "wu":
        parts = -jnp.log(jnp.clip(coverage, LEAST, 1.0))
    else:
        parts = jnp.maximum(coverage, 1.0) - 1.0
    return jnp.sum(jnp.where(present, parts, 0.0), axis=-1)
