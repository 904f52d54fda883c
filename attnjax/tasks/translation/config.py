"""The settings of the search for translations. Free of jax, so that the command line starts at once."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from attnjax.config import require
from attnjax.tasks.config import CrossEntropyConfig


@dataclass(frozen=True)
class TranslationLoss(CrossEntropyConfig):
    """The loss of a translator: see `attnjax.tasks.translation.losses`."""

    lambda_align: float = 0.0
    """Weight of the cross-entropy between given alignments and attention to the source; 0: no guide."""
    align_layer: int | None = None
    """The decoder layer, from 0, whose attention is guided; None: the last one."""
    align_head: int | None = None
    """The head, from 0, that is guided; None: the mean of all."""
    full_context: bool = False
    """True if guided attention sees all of the target, in a second pass, and not only what comes before."""
    lambda_coverage: float = 0.0
    """Weight of attending again what was attended before, by the last decoder layer; 0: it costs nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("align_layer", "align_head"):
            value = getattr(self, name)
            require(
                value is None or value >= 0, f"loss.{name} is {value!r}: expected a number from 0 on, or None"
            )
        for name in ("lambda_align", "lambda_coverage"):
            value = getattr(self, name)
            require(value >= 0, f"loss.{name} is {value!r}: expected 0 or more")
        for name in ("align_layer", "align_head", "full_context"):
            value = getattr(self, name)
            require(
                self.lambda_align > 0 or value in (None, False),
                f"loss.{name} is {value!r}: it says nothing without loss.lambda_align",
            )


@dataclass(frozen=True)
class SearchConfig:
    """The settings of the search for translations: see `attnjax.models.beams` and `attnjax.models.rules`."""

    beams: int = 1
    """Beams of a sentence; 1 takes the likeliest token at each step."""
    n_best: int = 1
    """Translations of a sentence, the best first, no two the same text; at most `beams`."""
    length_penalty: Literal["none", "average", "gnmt"] = "gnmt"
    """Log p divided by 1, by the number of tokens, or by ((5 + n) / 6)^alpha.

    By the number of tokens a translation that repeats what has become certain wins: a search that ends when
    nothing can pass the best finds it.
    """
    alpha: float = 0.6
    """Of the length penalty "gnmt"."""
    coverage_penalty: Literal["none", "summary", "wu"] = "none"
    """The penalty, times beta, for source pieces read again ("summary") or left out ("wu")."""
    beta: float = 0.2
    """Of the coverage penalty."""
    min_length: int = 0
    """Least tokens of a translation."""
    max_length: int | None = None
    """Most tokens of a translation; None for those of the arrays."""
    min_ratio: float = 0.0
    """Least tokens of a translation for each token of its source."""
    max_ratio: float | None = None
    """Most tokens of a translation for each token of its source."""
    block_ngrams: int = 0
    """The length in tokens of what may not come twice in a translation; 0 for none."""
    block_except: tuple[str, ...] = ()
    """Texts whose tokens may come again."""
    ban: tuple[str, ...] = ()
    """Texts that may not come in a translation, also inside of words."""
    ban_unknown: bool = False
    """True if the unknown token may not come."""
    replace_unknown: bool = False
    """True if an unknown token becomes the source piece that it looks at most."""
    prefix: str = ""
    """The beginning of every translation."""
    temperature: float | None = None
    """Draw each translation at this temperature in place of searching."""
    samples: int = 1
    """Above 1: of so many drawn translations the one that is most like the others (MBR with chrF)."""
    seed: int = 0
    """Of what is drawn; the same text is drawn alike in every batch."""
    ensemble_mean: Literal["probabilities", "log_probabilities"] = "probabilities"
    """The mean that several runs take at each step when they translate together."""

    def __post_init__(self) -> None:
        whole = {"beams": 1, "n_best": 1, "min_length": 0, "max_length": 1, "block_ngrams": 0, "samples": 1}
        for name, least in whole.items():
            value: Any = getattr(self, name)
            fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
            fits |= value is None and name == "max_length"
            require(fits, f"search.{name} is {value!r}: expected a whole number, {least} or more")
        for name in ("alpha", "beta", "min_ratio"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"search.{name} is {value!r}: expected a number, 0 or more")
        for name in ("max_ratio", "temperature"):
            value = getattr(self, name)
            fits = value is None or 0 < value < math.inf
            require(fits, f"search.{name} is {value!r}: expected a number above 0")
        for name in ("length", "ratio"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            fits = most is None or least <= most
            require(fits, f"search.min_{name} is {least}: expected at most search.max_{name}, {most}")
        require(
            -(2**63) <= self.seed < 2**63, f"search.seed is {self.seed}: expected a number of at most 64 bits"
        )
        for name, names in _NAMES.items():
            value = getattr(self, name)
            require(value in names, f"search.{name} is {value!r}: expected one of {', '.join(names)}")
        require(
            self.n_best <= self.beams,
            f"search.n_best is {self.n_best}: expected no more than the beams, {self.beams}",
        )
        drawn = self.temperature is not None
        require(
            not drawn or self.beams == 1, "search.temperature comes with search.beams: expected one of them"
        )
        require(drawn or self.samples == 1, "search.samples needs search.temperature: they are drawn")


_NAMES = {
    "length_penalty": ("none", "average", "gnmt"),
    "coverage_penalty": ("none", "summary", "wu"),
    "ensemble_mean": ("probabilities", "log_probabilities"),
}

PLAIN_LOSS = TranslationLoss()
"""Cross-entropy alone."""
GREEDY = SearchConfig()
"""One token after another."""
