"""The field's metrics of translated text, in percent. The only file that touches sacrebleu."""

from collections.abc import Sequence
from typing import Any

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
