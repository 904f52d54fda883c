"""The room that a translator has for texts: what the data allows, and the model's positions."""

from dataclasses import dataclass

from attnjax.config import require
from attnjax.data.text.config import TranslationData
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.tokenizer import UNK
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.tasks.inference import most_positions
from attnjax.tasks.model_task import require_positions


@dataclass(frozen=True)
class Room:
    """The bounds of the lengths of texts, in tokens.

    Attributes:
      data: the settings of the texts.
      config: the model's shape.
      encoder: of the texts.
    """

    data: TranslationData
    config: TransformerConfig | RecurrentConfig
    encoder: TextEncoder

    @property
    def positions(self) -> int | None:
        """The model's learned positions; None where it has others."""
        return most_positions(self.config) if isinstance(self.config, TransformerConfig) else None

    def require(self, texts: list[str]) -> None:
        """Raises InputError where a source is too long."""
        for text, ids in zip(texts, self.encoder.source.encode(texts), strict=True):
            require(
                len(ids) <= self.data.max_source_length,
                f"the text {text[:40]!r}… has {len(ids)} tokens, data.max_source_length is "
                f"{self.data.max_source_length}",
            )
            self.require_positions(len(ids))

    def require_positions(self, *widths: int) -> None:
        """Raises InputError where the model has fewer positions than texts of these widths need."""
        if self.positions is not None:
            require_positions(self.config, max(widths), "the texts")

    def require_prefix(self, prefix: str) -> None:
        """Raises InputError where a translation has no room for the prefix, or the run no tokens for it."""
        tokens, most = self.encoder.target.encode([prefix])[0], self.encoder.target_width - 2
        require(
            UNK not in tokens, f"search.prefix is {prefix[:40]!r}: it has tokens that the run does not know"
        )
        require(
            len(tokens) <= most,
            f"search.prefix is {prefix[:40]!r}: it has {len(tokens)} tokens, a translation at most {most}",
        )

    def beginning(self, text: str) -> str:
        """Returns as much of a source as there is room for."""
        most = min(self.data.max_source_length, self.positions or self.data.max_source_length)
        pieces = self.encoder.source.pieces(text)
        # Cut elsewhere, a text may fall into other pieces, and into more of them.
        while len(self.encoder.source.encode(["".join(pieces)])[0]) > most:
            pieces = pieces[: min(most, len(pieces) - 1)]
        return "".join(pieces)

    def too_long(self, source: str, target: str) -> str:
        """Returns why a source or a target, with its two marks, is too long; nothing where neither is."""
        source_size = len(self.encoder.source.encode([source])[0])
        target_size = len(self.encoder.target.encode([target])[0]) + 2
        for side, size in (("source", source_size), ("target", target_size)):
            most = min(getattr(self.data, f"max_{side}_length"), self.positions or size)
            if size > most:
                return f"the {side} text has {size} tokens, the run takes {most}"
        return ""
