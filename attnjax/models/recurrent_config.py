"""The config of the recurrent encoder-decoder, free of jax."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from attnjax.config import require
from attnjax.mechanisms import Choice, Recipe, read
from attnjax.models.checks import require_choice, require_positive

Cells = Literal["lstm", "gru"]
Order = Literal["luong", "bahdanau"]

_LAYERS = ("local_p", "monotonic")
"""The layers of the catalogue that read a source for one decoder state after another."""


@dataclass(frozen=True)
class RecurrentConfig:
    """The settings of an encoder-decoder of recurrent networks."""

    positions: ClassVar[str] = "none"
    """It has none: a state knows what came before it."""
    heads: ClassVar[int] = 1
    """Its attention has one head."""

    dim: int = 128
    """Width of embeddings and states; each direction of the encoder has one half of it."""
    layers: int = 1
    """Layers of the encoder, which reads both ways, and of the decoder."""
    cell: Cells = "lstm"
    """The cell of both."""
    cross_mechanism: str | None = "general"
    """Attention to the source: a comparison (additive, dot, general, …), a normaliser, or both joined by &;
    local_p or monotonic; None: there is none, the decoder has the encoder's last states alone."""
    order: Order = "luong"
    """Attention asks with the state after the new token, or with the one before it (bahdanau)."""
    input_feeding: bool = True
    """True if the decoder reads what its last output was made of, beside the last token (luong only)."""
    coverage: bool = False
    """True if a comparison sees how much of each source token was read before."""
    copy: bool = False
    """True if a token may be copied from the source by attention; both sides then share one vocabulary."""
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the parameters and the computation."""

    def __post_init__(self) -> None:
        for name in ("dim", "layers"):
            require_positive(name, getattr(self, name))
        require(self.dim % 2 == 0, f"model.dim is {self.dim}: it must be even, for two directions")
        require_choice("cell", self.cell, get_args(Cells))
        require_choice("order", self.order, get_args(Order))
        require_choice("param_dtype", self.param_dtype, ("float32", "bfloat16"))
        if self.cross_mechanism is None:
            for name in ("coverage", "copy"):
                asked = getattr(self, name)
                require(not asked, f"model.{name} is True: it needs attention, got cross_mechanism None")
            text = "model.order is 'bahdanau': it needs attention, got cross_mechanism None"
            require(self.order == "luong", text)
            return
        choice = self.choice
        for part in choice.parts:
            row = part.row
            fits = (
                isinstance(row, Recipe) and row.role in ("comparison", "normalizer") and not row.causal_only
            )
            require(
                fits or row.name in ("softmax", *_LAYERS),
                f"model.cross_mechanism is {self.cross_mechanism!r}: {row.name} is none that a recurrent "
                "decoder reads its source by; expected softmax, a comparison, a normaliser, local_p, "
                "monotonic or None",
            )
        require(
            not self.coverage or choice.row.name == "softmax",
            f"model.coverage is True: {choice.row.name} compares nothing that could see it",
        )

    @property
    def choice(self) -> Choice:
        """The mechanism of attention; there is one."""
        assert self.cross_mechanism is not None
        choices = read(self.cross_mechanism, "model.cross_mechanism")
        require(
            len(choices) == 1,
            f"model.cross_mechanism is {self.cross_mechanism!r}: a recurrent decoder has one attention layer",
        )
        return choices[0]

    @property
    def weights_of(self) -> str | None:
        """The part whose weights an alignment shows, in words; None where there is no attention."""
        return None if self.cross_mechanism is None else f"attention of the decoder ({self.choice})"
