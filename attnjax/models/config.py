"""The configs of models, free of jax, so that the command line can read them at once."""

from dataclasses import dataclass, replace
from typing import Self

from attnjax.config import require
from attnjax.mechanisms import Mechanism, over_layers, read
from attnjax.models.block_config import BlockConfig, require_positive


@dataclass(frozen=True)
class TransformerConfig(BlockConfig):
    """The settings of an encoder-decoder Transformer."""

    encoder_layers: int = 2
    """Blocks that read the source."""
    decoder_layers: int = 2
    """Blocks that write the target."""
    share_embeddings: bool = False
    """True if the tokens of source and target have one embedding, of one vocabulary."""
    tied_bias: bool = False
    """True if the output has a bias where its matrix is the embedding of the target."""
    tied_scale: float = 1.0
    """Factor of the logits where the matrix of the output is the embedding of the target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("encoder_layers", "decoder_layers"):
            require_positive(name, getattr(self, name))
        require(
            self.tie_embeddings or (not self.tied_bias and self.tied_scale == 1),
            f"model.tied_bias is {self.tied_bias}, model.tied_scale {self.tied_scale}: they need "
            "tie_embeddings",
        )
        require(
            not self.parallel, "model.parallel is True: a decoder that reads an encoder has no such blocks"
        )
        for part in (part for choice in read(self.mechanism) for part in choice.parts):
            require(
                not part.row.causal_only,
                f"model.mechanism is {self.mechanism!r}: {part.row.name} is causal only, but an encoder "
                "reads both ways",
            )
            require(
                part.row.streaming,
                f"model.mechanism is {self.mechanism!r}: {part.row.name} needs all tokens at once, but a "
                "decoder writes one after the other",
            )
            _require_causal(part.row, self.mechanism)


@dataclass(frozen=True)
class LanguageModelConfig(BlockConfig):
    """The settings of a decoder-only Transformer, which predicts each token from those before it."""

    layers: int = 2
    """Blocks of the model."""
    logit_softcap: float | None = None
    """Number c of c·tanh(x/c) of the logits x, which stay below it; None: they are as they are."""
    convolution: int | None = None
    """Tokens that a causal convolution of the embeddings takes in, under any mechanism; None: it has none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("layers", self.layers)
        for part in (part for choice in read(self.mechanism) for part in choice.parts):
            _require_causal(part.row, self.mechanism)
        if self.convolution is not None:
            require_positive("convolution", self.convolution)
        require(
            self.logit_softcap is None or self.logit_softcap > 0,
            f"model.logit_softcap is {self.logit_softcap!r}: it must be above 0",
        )

    def filled(self) -> Self:
        layers = over_layers(read(self.mechanism), self.layers)
        return replace(super().filled(), mechanism=" + ".join(map(str, layers)))


def _require_causal(row: Mechanism, mechanism: str) -> None:
    require(
        not row.two_sided_only,
        f"model.mechanism is {mechanism!r}: {row.name} reads both ways only, but a decoder is causal",
    )
