"""The configs of ResNet and DETR, free of jax.

References:
  He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385 (ResNet).
  Carion et al., End-to-End Object Detection with Transformers, 2020, arXiv:2005.12872 (DETR).
"""

from dataclasses import dataclass, field
from typing import Self

from attnjax.config import require
from attnjax.models.block_config import BlockConfig, Precision
from attnjax.models.checks import require_positive


@dataclass(frozen=True)
class ResNetConfig:
    """The settings of a convolutional network that makes an image into a smaller one of more channels."""

    channels: int = 3
    """Numbers of a pixel."""
    stem: int = 64
    """Channels of the first convolution, which halves the sides, as does the maximum after it."""
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    """Channels of each stage; all but the first halve the sides."""
    depths: tuple[int, ...] = (3, 4, 6, 3)
    """Blocks of each stage."""
    bottleneck: bool = True
    """True if a block is a convolution of 3 × 3 of a quarter of the channels between two of 1 × 1."""
    early_stride: bool = False
    """True if the first convolution of such a block halves the sides, and not the second."""

    def __post_init__(self) -> None:
        for name in ("channels", "stem"):
            require_positive(name, getattr(self, name))
        require(
            bool(self.depths) and len(self.depths) == len(self.widths),
            f"model.depths is {self.depths}, model.widths {self.widths}: expected one for each stage in both",
        )
        for name in ("widths", "depths"):
            for value in getattr(self, name):
                require_positive(name, value)
        require(
            not self.bottleneck or all(width % 4 == 0 for width in self.widths),
            f"model.widths is {self.widths}: expected multiples of 4 with bottlenecks",
        )


@dataclass(frozen=True)
class DetrConfig:
    """The settings of an encoder-decoder that finds objects in images."""

    backbone: ResNetConfig = field(default_factory=ResNetConfig)
    """Of the network whose last image the encoder reads."""
    dim: int = 256
    """Width of the vectors, a multiple of 4."""
    heads: int = 8
    """Attention heads of a layer."""
    hidden: int = 2048
    """Width of the feed-forward layers."""
    encoder_layers: int = 6
    """Layers that read the image."""
    decoder_layers: int = 6
    """Layers that write the objects."""
    queries: int = 100
    """Objects that are asked for."""
    labels: int = 91
    """Labels of objects; one more says that there is none."""
    dtype: Precision = "float32"
    """Precision of the computation; float64 needs jax_enable_x64."""
    param_dtype: Precision = "float32"
    """Precision of the parameters."""

    def __post_init__(self) -> None:
        for name in ("dim", "heads", "hidden", "encoder_layers", "decoder_layers", "queries", "labels"):
            require_positive(name, getattr(self, name))
        require(self.dim % 4 == 0, f"model.dim is {self.dim}: expected a multiple of 4")
        self.layer()

    def layer(self) -> BlockConfig:
        """Returns the settings of the layers.

        Example:
          >>> DetrConfig().layer().norm_placement
          'post'
        """
        return BlockConfig(
            dim=self.dim,
            heads=self.heads,
            hidden=self.hidden,
            positions="none",
            norm_placement="post",
            norm_eps=1e-5,
            activation="relu",
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )

    def filled(self) -> Self:
        """Returns the config itself, which has nothing to fill in."""
        return self
