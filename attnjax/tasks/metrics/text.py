"""The field's metrics of translated text, in percent. The only file that touches sacrebleu."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# sacrebleu is imported by what measures: training begins without it.


def exact_match(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Returns the share of outputs that equal their reference, 0 to 100.

    >>> exact_match(["2003-02-01", "2003-01-02"], ["2003-02-01", "2003-02-01"])
    50.0
    """
    _require_pairs(outputs, references)
    pairs = zip(outputs, references, strict=True)
    return 100 * sum(output == reference for output, reference in pairs) / len(outputs)


def bleu_of_several(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Returns the `bleu` of outputs each of which has several references, as many as it likes.

    >>> round(bleu_of_several(["the cat sat on the mat"], [["a dog ran", "the cat sat on the mat"]]), 6)
    100.0
    """
    _require_pairs(outputs, references)
    from sacrebleu.metrics import BLEU

    most = max(map(len, references))
    streams: list[Any] = [[own[i] if i < len(own) else None for own in references] for i in range(most)]
    return BLEU().corpus_score(outputs, streams).score


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Returns the corpus's F2-score over character n-grams up to 6, 0 to 100 (Popović 2015), by sacrebleu.

    >>> chrf(["2003-02-01"], ["2003-02-01"])
    100.0
    """
    _require_pairs(outputs, references)
    from sacrebleu.metrics import CHRF

    return CHRF().corpus_score(outputs, [references]).score


def sentence_chrf(output: str, reference: str) -> float:
    """Returns the `chrf` of one text.

    >>> sentence_chrf("2003-02-01", "2003-02-01")
    100.0
    """
    from sacrebleu.metrics import CHRF

    return CHRF().sentence_score(output, [reference]).score


def bleu(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Returns the corpus's BLEU, 0 to 100 (Papineni et al. 2002), with sacrebleu's standard tokenization.

    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on the mat"]), 6)
    100.0
    """
    _require_pairs(outputs, references)
    from sacrebleu.metrics import BLEU

    return BLEU().corpus_score(outputs, [references]).score


class SystemScore(NamedTuple):
    """The score of one system by one metric.

    Attributes:
      metric: its name, as sacrebleu writes it.
      score: of the corpus.
      mean, margin: of bootstrap resamples, whose middle 95 % lie within mean ± margin.
      p_value: of paired bootstrap against the first system; None for that one.
      signature: sacrebleu's, with which others get the same number.
    """

    metric: str
    score: float
    mean: float
    margin: float
    p_value: float | None
    signature: str


METRICS = ("bleu", "chrf", "ter")
"""Names of metrics that sacrebleu has."""


def measured(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    metrics: Sequence[str] = METRICS,
    samples: int = 1000,
) -> dict[str, list[SystemScore]]:
    """Returns the scores of systems by several metrics, with paired bootstrap against the first system.

    sacrebleu computes all of it, with its seed (12345, or $SACREBLEU_SEED).

    Args:
      systems: the outputs of each, by its name.
      references: one for each output.
      metrics: of "bleu", "chrf" and "ter".
      samples: of the bootstrap.

    References:
      Koehn, Statistical Significance Tests for Machine Translation Evaluation, 2004, EMNLP.

    Example:
      >>> (row,) = measured({"mine": ["a cat", "a dog"]}, ["a cat", "a dog"], ["chrf"], samples=8)["mine"]
      >>> row.metric, row.score, row.p_value
      ('chrF2', 100.0, None)
    """
    for outputs in systems.values():
        _require_pairs(outputs, references)
    from sacrebleu.metrics import BLEU, CHRF, TER
    from sacrebleu.significance import PairedTest

    kinds: dict[str, Any] = {"bleu": BLEU, "chrf": CHRF, "ter": TER}
    made = {name: kinds[name](references=[references]) for name in metrics}
    first = next(iter(systems.values()))
    test = PairedTest(list(systems.items()), made, None, test_type="bs", n_samples=samples)
    signatures, found = test()
    rows = {name: list[SystemScore]() for name in systems}
    for metric, signature in signatures.items():
        results: list[Any] = list(found[metric])
        for name, one in zip(systems, results, strict=True):
            values = float(one.score), float(one.mean), float(one.ci)
            p_value = None if one.p_value is None else float(one.p_value)
            if p_value is not None and systems[name] == first:
                p_value = (
                    1.0  # sacrebleu counts resamples that differ by more than 0: none, and p = 1 / (n + 1).
                )
            rows[name].append(SystemScore(metric, *values, p_value, str(signature)))
    return rows


def words(text: str) -> int:
    """Returns the number of words that `bleu` takes a text for.

    >>> words("file: not found")
    4
    """
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    return len(Tokenizer13a()(text).split())


def _require_pairs(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Raises ValueError for texts without a partner, which sacrebleu passes over, and for none at all."""
    if len(outputs) != len(references) or not outputs:
        raise ValueError(
            f"{len(outputs)} outputs and {len(references)} references came: expected as many, at least one"
        )
