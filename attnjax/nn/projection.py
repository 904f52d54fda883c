"""Linear maps of tokens into heads, with a name for each axis."""

from collections.abc import Mapping
from typing import Any

from flax import nnx

from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general


def into_heads(
    size: int, heads: Mapping[str, int], *, source: str = "embed", bias: bool = True, **options: Any
) -> nnx.LinearGeneral:
    """Returns the linear map x W + b of the last axis: [..., size] to [..., *heads].

    Args:
      size: the length of the axis that is mapped.
      heads: the lengths of the new axes by their logical names.
      source: the logical name of the axis that is mapped.
      bias: whether there is a b.
      options: dtypes, rngs and anything else that `nnx.LinearGeneral` takes.

    Example:
      >>> project = into_heads(8, {"heads": 2, "head_dim": 3}, rngs=nnx.Rngs(0))
      >>> project.kernel.shape, project.kernel.get_metadata("axes")
      ((8, 2, 3), ('embed', 'heads', 'head_dim'))
    """
    return nnx.LinearGeneral(
        size,
        tuple(heads.values()),
        use_bias=bias,
        kernel_init=nnx.initializers.xavier_uniform(),
        kernel_metadata=named(source, *heads),
        bias_metadata=named(*heads),
        dot_general=flat_dot_general,
        **options,
    )


def out_of_heads(
    heads: Mapping[str, int], size: int, *, bias: bool = True, **options: Any
) -> nnx.LinearGeneral:
    """Returns the linear map x W + b of the last two axes: [..., *heads] to [..., size].

    Args:
      heads: the lengths of the two axes by their logical names.
      size: the length of the new axis.
      bias: whether there is a b.
      options: dtypes, rngs and anything else that `nnx.LinearGeneral` takes.

    Example:
      >>> out_of_heads({"heads": 2, "head_dim": 3}, 8, rngs=nnx.Rngs(0)).kernel.shape
      (2, 3, 8)
    """
    return nnx.LinearGeneral(
        tuple(heads.values()),
        size,
        axis=(-2, -1),
        use_bias=bias,
        kernel_init=nnx.initializers.xavier_uniform(),
        kernel_metadata=named(*heads, "embed"),
        bias_metadata=named("embed"),
        dot_general=flat_dot_general,
        **options,
    )
