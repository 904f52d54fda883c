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
from attnjax.mechanisms import read
from attnjax.models.block_config import BlockConfig, Positions, Precision, Ungated
from attnjax.models.checks import require_choice, require_pooling, require_positive
from attnjax.models.encoder_config import EncoderConfig, require_two_sided

POOLING = ("class", "mean", "both")
Stem = Literal["patches", "convolution", "squeeze_excite", "cbam"]
STEMS = get_args(Stem)


@dataclass(frozen=True)
class VisionConfig(BlockConfig):
    """The settings of an encoder of images."""

    takes = ("tokens", "image")
    positions: Positions = "learned"
    """Positions of patches: a learned table, which is interpolated for images of other sizes, or none."""
    layers: int = 2
    """Blocks of the model."""
    image: int = 224
    """Pixels of a side of the images that the table of positions is for."""
    patch: int = 16
    """Pixels of a side of a patch."""
    stem: Stem = "patches"
    """Vectors of patches by a linear map, or by convolutions, whose channels may be gated."""
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
    pooling: str = "class"
    """The vector of an image: the class token's, the mean of patches, both joined, or a mechanism's: pma."""
    pooler: Ungated | None = None
    """Activation of a layer over that vector; None: there is no such layer."""
    labels: int | None = None
    """Labels that a head tells apart; None: there is no head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("stem", self.stem, STEMS)
        for name in ("image", "channels", *(["layers"] if self.stem == "patches" else [])):
            require_positive(name, getattr(self, name))
        require(self.layers >= 0, f"model.layers is {self.layers!r}: it must be 0 or more")
        require(self.registers >= 0, f"model.registers is {self.registers!r}: it must be 0 or more")
        if self.labels is not None:
            require_positive("labels", self.labels)
        require_pooling(self, POOLING)
        if self.pooler is not None:
            require_choice("pooler", self.pooler, get_args(Ungated))
        require(
            self.positions in ("learned", "none"),
            f"model.positions is {self.positions!r}: patches have learned or none",
        )
        require_stem(self)
        require(
            self.class_token or self.pooling not in ("class", "both"),
            f"model.pooling is {self.pooling!r}: without class_token it must be mean",
        )
        self._require_images_fit()
        require_two_sided(self)

    def _require_images_fit(self) -> None:
        """Raises InputError where a layer of images is given tokens beside the patches, or several images."""
        for choice in read(self.mechanism):
            if choice.row.takes != "image":
                continue
            given = {"class_token": self.class_token, "registers": self.registers}
            for name, value in given.items():
                require(
                    not value,
                    f"model.{name} is {value!r}: {choice.row.name} takes images, which have no such token; "
                    "expected class_token False, registers 0 and pooling mean",
                )
            levels = choice.options.get("levels", 1)
            require(
                levels == 1,
                f"model.mechanism is {self.mechanism!r}: {choice.row.name} reads {levels} levels, and here "
                "there is one image",
            )


def require_stem(config: Any) -> None:
    """Raises InputError where patches do not divide images, or convolutions do not lead to patches."""
    require_positive("patch", config.patch)
    require(
        config.image % config.patch == 0,
        f"model.patch is {config.patch}: it must divide model.image ({config.image})",
    )
    power = config.patch > 1 and config.patch & (config.patch - 1) == 0
    require(
        power or config.stem == "patches",
        f"model.patch is {config.patch}: convolutions (model.stem {config.stem}) halve the sides, expected "
        "2, 4, 8, …",
    )


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
