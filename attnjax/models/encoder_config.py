"""The configs of models that read, free of jax.

References:
  Devlin et al., BERT, 2018, arXiv:1810.04805.
  Lan et al., ALBERT, 2019, arXiv:1909.11942 (shared layers, narrow embeddings).
  He et al., DeBERTaV3, 2021, arXiv:2111.09543 (distances).
  Clark et al., ELECTRA, 2020, arXiv:2003.10555 (the label of each token).
"""

from dataclasses import dataclass
from typing import Literal, get_args

from attnjax.config import require
from attnjax.mechanisms import read
from attnjax.mechanisms.base import SENTENCES
from attnjax.models.block_config import BlockConfig, Ungated
from attnjax.models.checks import require_choice, require_pooling, require_positive

_BESIDE = ("learned", "sinusoidal", "none")
"""Positions that can be had beside distances."""
POOLING = ("first", "last", "mean")
Head = Literal["masked_lm", "labels", "token_labels", "spans"]


@dataclass(frozen=True)
class EncoderConfig(BlockConfig):
    """The settings of an encoder of texts."""

    layers: int = 2
    """Blocks that a token goes through."""
    distinct_layers: int | None = None
    """Blocks with parameters of their own, each of which is applied several times in a row; None: all."""
    embedding_width: int | None = None
    """Width of the embedding, which a matrix then maps to dim; None: dim, without a matrix."""
    distance_buckets: int | None = None
    """Buckets of distances on either side that attention disentangles from contents; None: it does not."""
    token_types: int = 0
    """Types of tokens, such as first and second sentence; 0: there are none."""
    causal: bool = False
    """True if a token sees none after it, as in CLIP."""
    pooling: str = "first"
    """The vector of a text: that of its first or last token, their mean, or what a mechanism pools: pma.

    hierarchical pools words to sentences, and these to the text."""
    pooler: Ungated | None = None
    """Activation of a layer over that vector; None: there is no such layer."""
    head: Head | None = None
    """The layer on top: of masked tokens, of labels of the text or of each token, of spans; None: none.

    A span is an answer's place in the text: the two labels of a token are that it begins and ends there.
    """
    head_activation: Ungated | None = None
    """Activation of a layer of the head before its output; None: there is no such layer."""
    labels: int = 2
    """Labels that the head tells apart."""
    pair_head: bool = False
    """True if another layer tells from the vector of a text whether its two sentences belong together."""

    has_sentences = True

    @property
    def pools_sentences(self) -> bool:
        """True if the pool needs to know where sentences end."""
        return self.pooling not in POOLING and read(self.pooling)[0].row.name == SENTENCES

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "labels"):
            require_positive(name, getattr(self, name))
        for name in ("distinct_layers", "embedding_width", "distance_buckets"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require(self.token_types >= 0, f"model.token_types is {self.token_types!r}: it must be 0 or more")
        for name, choices in (("pooler", Ungated), ("head", Head), ("head_activation", Ungated)):
            if getattr(self, name) is not None:
                require_choice(name, getattr(self, name), get_args(choices))
        if self.distinct_layers is not None:
            require(
                self.layers % self.distinct_layers == 0,
                f"model.distinct_layers is {self.distinct_layers}: it must divide model.layers "
                f"({self.layers})",
            )
            require(
                self.residual == "sum",
                f"model.residual is {self.residual!r}: it needs a block of its own for each layer",
            )
        require(
            self.head != "masked_lm" or self.embedding_width is None or self.head_activation is not None,
            f"model.head is 'masked_lm' and model.embedding_width {self.embedding_width}: it needs a "
            "head_activation",
        )
        require(
            self.distance_buckets is None or (self.mechanism == "softmax" and self.positions in _BESIDE),
            f"model.distance_buckets is {self.distance_buckets}: it needs mechanism softmax and positions "
            f"{' or '.join(_BESIDE)}, got {self.mechanism} and {self.positions}",
        )
        require(
            self.head != "spans" or self.labels == 2,
            f"model.labels is {self.labels}: for spans it must be 2",
        )
        require_pooling(self, POOLING)
        if not self.causal:
            require_two_sided(self)


def require_two_sided(config: BlockConfig) -> None:
    """Raises InputError for a mechanism by which no token sees one after it."""
    for part in (part for choice in read(config.mechanism) for part in choice.parts):
        require(
            not part.row.causal_only,
            f"model.mechanism is {config.mechanism!r}: {part.row.name} is causal only, but an encoder reads "
            "both ways",
        )
