"""The configs of models of images, and of images with texts, free of jax.

References:
  Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929.
  Oquab et al., DINOv2, 2023, arXiv:2304.07193 (mask token, pooling by both).
  Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
  arXiv:2103.00020 (texts).
  Darcet et al., Vision Transformers Need Registers, 2023, arXiv:2309.16588.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

from attnjax.config import require
from attnjax.models.block_config import BlockConfig, Positions, Precision, Ungated
from attnjax.models.checks import require_choice, require_positive
from attnjax.models.encoder_config import EncoderConfig, require_two_sided

Pooling = Literal["class", "mean", "both"]


@dataclass(frozen=True)
class VisionConfig(BlockConfig):
    """The settings of an encoder of images."""

    positions: Positions = "learned"
    """Positions of patches: a learned table, which is interpolated for images of other sizes, or none."""
    layers: int = 2
    """Blocks of the model."""
    image: int = 224
    """Pixels of a side of the images that the table of positions is for."""
    patch: int = 16
    """Pixels of a side of a patch."""
    patch_bias: bool = True
    """True if the map of patches has a bias."""
    channels: int = 3
    """Numbers of a pixel."""
    class_token: bool = True
    """True if a learned vector that stands for the image comes before the patches."""
    registers: int = 0
    """Learned vectors between the class token and the patches, which attention may use as it likes."""
    mask_token: bool = False
    """True if there is a learned vector for patches that are masked."""
    pooling: Pooling = "class"
    """The vector of an image: the class token's, the mean of its patches', or both, one after the other."""
    pooler: Ungated | None = None
    """Activation of a layer over that vector; None: there is no such layer."""
    labels: int | None = None
    """Labels that a head tells apart; None: there is no head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "image", "patch", "channels"):
            require_positive(name, getattr(self, name))
        require(self.registers >= 0, f"model.registers is {self.registers!r}: it must be 0 or more")
        if self.labels is not None:
            require_positive("labels", self.labels)
        require_choice("pooling", self.pooling, get_args(Pooling))
        if self.pooler is not None:
            require_choice("pooler", self.pooler, get_args(Ungated))
        require(
            self.positions in ("learned", "none"),
            f"model.positions is {self.positions!r}: patches have learned or none",
        )
        require(
            self.image % self.patch == 0,
            f"model.patch is {self.patch}: it must divide model.image ({self.image})",
        )
        require(
            self.class_token or self.pooling == "mean",
            f"model.pooling is {self.pooling!r}: without class_token it must be mean",
        )
        require_two_sided(self)


@dataclass(frozen=True)
class ContrastiveConfig:
    """The settings of an encoder of texts and one of images that map to one space."""

    text: EncoderConfig = field(default_factory=EncoderConfig)
    """Of the encoder of texts, but for its dtypes."""
    image: VisionConfig = field(default_factory=VisionConfig)
    """Of the encoder of images, but for its dtypes."""
    width: int = 512
    """Size of the vectors of the common space."""
    dtype: Precision = "float32"
    """Precision of the computation of both."""
    param_dtype: Precision = "float32"
    """Precision of the parameters of both."""

    def __post_init__(self) -> None:
        require_positive("width", self.width)
        for name in ("dtype", "param_dtype"):
            require_choice(name, getattr(self, name), get_args(Precision))

    def filled(self) -> Self:
        """Returns the config with what other settings say in the place of None, and dtypes in both parts."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        text, image = replace(self.text, **dtypes).filled(), replace(self.image, **dtypes).filled()
        return replace(self, text=text, image=image)
