"""The config of models that write what an image shows, free of jax.

References:
  Xu et al., Show, Attend and Tell, 2015, arXiv:1502.03044 (convolutions, additive attention, LSTM).
  Alayrac et al., Flamingo, 2022, arXiv:2204.14198 (gated cross-attention).
"""

from dataclasses import dataclass
from typing import Literal, get_args

from attnjax.config import require
from attnjax.models.block_config import ABSOLUTE
from attnjax.models.checks import require_choice, require_positive
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import Cells, RecurrentConfig
from attnjax.models.vision_config import STEMS, Stem, require_stem

Decoder = Literal["blocks", Cells]


@dataclass(frozen=True)
class CaptionerConfig(TransformerConfig):
    """The settings of an encoder of images with a decoder of words."""

    may_read_as_it_is = True
    image: int = 40
    """Pixels of a side of the images that the table of positions is for."""
    patch: int = 8
    """Pixels of a side of a patch, for which one vector stands."""
    channels: int = 3
    """Numbers of a pixel."""
    stem: Stem = "patches"
    """Vectors of patches by a linear map, or by convolutions, whose channels may be gated."""
    decoder: Decoder = "blocks"
    """The writer: blocks, or decoder_layers of a recurrent network with one head (Show, Attend and Tell)."""

    def __post_init__(self) -> None:
        require(
            self.encoder_layers >= 0,
            f"model.encoder_layers is {self.encoder_layers!r}: it must be 0 or more",
        )
        super().__post_init__()
        for name in ("image", "channels"):
            require_positive(name, getattr(self, name))
        require_choice("stem", self.stem, STEMS)
        require_stem(self)
        require(self.frames is None, f"model.frames is {self.frames}: the source is images, expected None")
        for name in ("share_embeddings", "copy"):
            given = getattr(self, name)
            require(not given, f"model.{name} is True: images have no tokens, expected False")
        require_choice("decoder", self.decoder, get_args(Decoder))
        if self.recurrent is None:
            return
        for name, part in (("cross_gate", "a gate"), ("tie_embeddings", "an output")):
            require(
                not getattr(self, name),
                f"model.{name} is True: the decoder {self.decoder} has {part} of its own, expected False",
            )
        require(
            self.positions not in ABSOLUTE,
            f"model.positions is {self.positions!r}: the decoder {self.decoder} adds none to tokens, "
            "expected none or rope (of blocks over the image)",
        )

    @property
    def recurrent(self) -> RecurrentConfig | None:
        """The config of the recurrent network that writes; None where blocks do."""
        if self.decoder == "blocks":
            return None
        return RecurrentConfig(
            dim=self.dim,
            layers=self.decoder_layers,
            cell=self.decoder,
            cross_mechanism=self.cross_mechanism,
            order="bahdanau",
        )
