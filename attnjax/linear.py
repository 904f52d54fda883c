"""The members of the linear and recurrent family, as functions of queries, keys, values and gates.

Each is imported on first use. A layer takes them by name: `attnjax.nn.Attention(…, mechanism="gla")`.

Example:
  >>> import jax.numpy as jnp
  >>> from attnjax import linear
  >>> x = jnp.ones((1, 5, 2, 4))
  >>> linear.retention(x, x, x).shape
  (1, 5, 2, 4)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnjax.ops.linear.members.based import based as based
    from attnjax.ops.linear.members.bidirectional import bidirectional as bidirectional
    from attnjax.ops.linear.members.comba import comba as comba
    from attnjax.ops.linear.members.cosformer import cosformer as cosformer
    from attnjax.ops.linear.members.delta_net import delta_net as delta_net
    from attnjax.ops.linear.members.delta_product import delta_product as delta_product
    from attnjax.ops.linear.members.gated_delta_net import gated_delta_net as gated_delta_net
    from attnjax.ops.linear.members.gated_slot import gated_slot as gated_slot
    from attnjax.ops.linear.members.gdn2 import gdn2 as gdn2
    from attnjax.ops.linear.members.gla import gla as gla
    from attnjax.ops.linear.members.hgrn2 import hgrn2 as hgrn2
    from attnjax.ops.linear.members.kda import kda as kda
    from attnjax.ops.linear.members.lightning import lightning as lightning
    from attnjax.ops.linear.members.linear import linear as linear
    from attnjax.ops.linear.members.log_linear import log_linear as log_linear
    from attnjax.ops.linear.members.mamba2 import mamba2 as mamba2
    from attnjax.ops.linear.members.mesa import mesa as mesa
    from attnjax.ops.linear.members.performer import orthogonal_features as orthogonal_features
    from attnjax.ops.linear.members.performer import performer as performer
    from attnjax.ops.linear.members.rebased import rebased as rebased
    from attnjax.ops.linear.members.retention import retention as retention
    from attnjax.ops.linear.members.rwkv6 import rwkv6 as rwkv6
    from attnjax.ops.linear.members.rwkv7 import rwkv7 as rwkv7
    from attnjax.ops.linear.members.simple_gla import simple_gla as simple_gla
else:
    from attnjax.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
