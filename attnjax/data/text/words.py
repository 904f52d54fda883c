"""Words of texts that are summarised: small letters, punctuation apart, a space before each."""

import re

import numpy as np

from attnjax.data.text.tokenizer import Tokenizer

WORD = re.compile(r"\w+(?:[.'-]\w+)*|[^\w\s]")
"""A word, which may have points, dashes and apostrophes inside, or a mark."""
END = re.compile(r"(?<= [.!?])(?<! e\.g \.)(?<! i\.e \.)(?= )")
"""The place behind a sentence."""


def spaced(text: str) -> str:
    """Returns a text as its words with a space before each, so that a word has the same pieces everywhere.

    >>> spaced("Return os.path, e.g. the read-only one.")
    ' return os.path , e.g . the read-only one .'
    """
    return "".join(f" {word}" for word in WORD.findall(text.lower()))


def again_spaced(text: str) -> str:
    """Returns a text whose words are apart already with a space before each of them.

    >>> again_spaced("os.path ,") == spaced("os.path,"), again_spaced("path,")
    (True, ' path,')
    """
    return "".join(f" {word}" for word in text.split())


def sentences(text: str) -> list[str]:
    """Returns the sentences of a `spaced` text.

    >>> sentences(" a list , e.g . of two . and more")
    [' a list , e.g . of two .', ' and more']
    """
    return [sentence for sentence in END.split(text) if sentence.strip()]


def beginning(text: str, tokenizer: Tokenizer, most: int) -> str:
    """Returns as many of the words of a `spaced` text as have no more than `most` tokens together."""
    words = [f" {word}" for word in text.split()]
    ends = np.cumsum(tokenizer.rows(words).lengths)
    return "".join(words[: int(np.sum(ends <= most))])
