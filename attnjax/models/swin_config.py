"""The config of Swin, free of jax.

References:
  Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021, arXiv:2103.14030.
"""

from dataclasses import dataclass
from typing import Literal, Self, get_args

from attnjax.config import require
from attnjax.models.block_config import BlockConfig, Precision, Ungated
from attnjax.models.checks import require_choice, require_positive


@dataclass(frozen=True)
class SwinConfig:
    """The settings of an encoder of images whose stages have ever fewer and wider vectors."""

    dim: int = 96
    """Width of the vectors of patches in the first stage; each further one has twice as much."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks of each stage."""
    heads: tuple[int, ...] = (3, 6, 12, 24)
    """Attention heads of each stage."""
    window: int = 7
    """Vectors of a side of a window, which every second block shifts by half of that."""
    image: int = 224
    """Pixels of a side of the images that a table of positions is for."""
    patch: int = 4
    """Pixels of a side of a patch."""
    channels: int = 3
    """Numbers of a pixel."""
    hidden_ratio: float = 4.0
    """Width of the feed-forward layers in widths of their stage."""
    norm_eps: float = 1e-5
    """ε of the norms of blocks and of the last one, in the unit of the square of what is normed."""
    activation: Ungated = "gelu_exact"
    """Activation of the feed-forward layers."""
    attention_bias: Literal["all", "out"] = "all"
    """Biases of attention: of all projections, or of the last one only."""
    positions: Literal["learned", "none"] = "none"
    """Positions of patches beside those in a window: a table, interpolated for other sizes, or none."""
    mask_token: bool = False
    """True if there is a learned vector for patches that are masked."""
    labels: int | None = None
    """Labels that a head tells apart; None: there is no head."""
    dtype: Precision = "float32"
    """Precision of the computation; float64 needs jax_enable_x64."""
    param_dtype: Precision = "float32"
    """Precision of the parameters."""

    def __post_init__(self) -> None:
        for name in ("dim", "window", "image", "patch", "channels"):
            require_positive(name, getattr(self, name))
        if self.labels is not None:
            require_positive("labels", self.labels)
        require_choice("attention_bias", self.attention_bias, ("all", "out"))
        require_choice("positions", self.positions, ("learned", "none"))
        require_choice("activation", self.activation, get_args(Ungated))
        require(
            bool(self.depths) and len(self.depths) == len(self.heads),
            f"model.depths is {self.depths}, model.heads {self.heads}: expected one for each stage in both",
        )
        require(
            self.image % self.patch == 0,
            f"model.patch is {self.patch}: it must divide model.image ({self.image})",
        )
        for stage, depth in enumerate(self.depths):
            require_positive("depths", depth)
            self.stage(stage)

    def stage(self, number: int) -> BlockConfig:
        """Returns the settings of the blocks of stage 0, 1, ….

        Example:
          >>> SwinConfig().stage(1).dim
          192
        """
        dim = self.dim * 2**number
        return BlockConfig(
            dim=dim,
            heads=self.heads[number],
            hidden=int(self.hidden_ratio * dim),
            positions="none",
            activation=self.activation,
            norm_eps=self.norm_eps,
            attention_bias=self.attention_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )

    def filled(self) -> Self:
        """Returns the config itself, which has nothing to fill in."""
        return self
