"""The configs of models, free of jax, so that the command line can read them at once."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from attnjax.config import require
from attnjax.mechanisms import Layer, Mechanism, Recipe, over_layers, read
from attnjax.models.block_config import BlockConfig
from attnjax.models.checks import require_positive


@dataclass(frozen=True)
class TransformerConfig(BlockConfig):
    """The settings of an encoder-decoder Transformer."""

    may_read_as_it_is: ClassVar[bool] = False
    """True where the decoder may read a source that goes through no blocks."""
    encoder_layers: int = 2
    """Blocks that read the source."""
    decoder_layers: int = 2
    """Blocks that write the target."""
    cross_mechanism: str = "softmax"
    """Attention to the source: softmax with another comparison, normaliser or gates, or local_p."""
    cross_gate: bool = False
    """True if what a layer adds of the source is multiplied by tanh(a), of an a that starts at 0."""
    share_embeddings: bool = False
    """True if the tokens of source and target have one embedding, of one vocabulary."""
    frames: int | None = None
    """Numbers of a frame of sound, where the source is frames and no tokens; None: it is tokens."""
    max_vectors: int = 1500
    """Vectors of frames for which there are positions; two frames make one."""
    copy: bool = False
    """True if a token may be copied from the source, by the cross-attention of the last layer; source and
    target then share one vocabulary."""
    tied_bias: bool = False
    """True if the output has a bias where its matrix is the embedding of the target."""
    tied_scale: float = 1.0
    """Factor of the logits where the matrix of the output is the embedding of the target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("encoder_layers", "decoder_layers")[self.may_read_as_it_is :]:
            require_positive(name, getattr(self, name))
        for name in ("frames", "max_vectors"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require(
            self.frames is None or not self.share_embeddings,
            f"model.frames is {self.frames}: share_embeddings needs tokens",
        )
        require(self.frames is None or not self.copy, f"model.frames is {self.frames}: copy needs tokens")
        require(
            not (self.copy and self.scan_layers),
            "model.scan_layers is True: copy reads the weights of the last layer, which is in a loop",
        )
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
        crossing = read(self.cross_mechanism, "model.cross_mechanism")
        for row in (part.row for choice in crossing for part in choice.parts):
            problem = _not_for_a_source(row)
            require(
                not problem,
                f"model.cross_mechanism is {self.cross_mechanism!r}: {row.name} {problem}; expected softmax, "
                "a comparison, a normaliser or gates of heads, or local_p",
            )


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
        """Returns the config with what others say in the place of None, and each layer's mechanism."""
        layers = over_layers(read(self.mechanism), self.layers)
        return replace(super().filled(), mechanism=" + ".join(map(str, layers)))


def _not_for_a_source(row: Mechanism) -> str:
    """Returns the reason why a decoder cannot read its source by a mechanism; empty where it can."""
    if row.causal_only:
        return "is causal only, and a source is whole"
    if isinstance(row, Recipe):
        between = row.role in ("mask", "score")
        return "is of self-attention, by the places of tokens in one sequence" if between else ""
    if isinstance(row, Layer) and row.takes == "context":
        return "" if row.streaming else "is no layer that reads a source for one target token after another"
    return "" if row.kind == "softmax" else "reads no source, it is of self-attention"


def _require_causal(row: Mechanism, mechanism: str) -> None:
    require(
        not row.two_sided_only,
        f"model.mechanism is {mechanism!r}: {row.name} reads both ways only, but a decoder is causal",
    )
