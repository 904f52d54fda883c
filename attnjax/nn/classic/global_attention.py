"""Global attention of a recurrent decoder: its states compared with those of the encoder as they are."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.mechanisms import Choice, Recipe, read
from attnjax.mechanisms.pattern import Part
from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.calling import taken
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.tapped import asked_weights, mixed
from attnjax.nn.classic.reading import of_keys, vector
from attnjax.nn.projection import into_heads
from attnjax.nn.taps import Sites, tapped
from attnjax.ops.attention import attention_weights


class GlobalAttention(nnx.Module):
    """Luong's global attention: one head, in which states are queries, keys and values without projections.

        a_t = normaliser_j(score(s_t, h_j + w c_tj)),  out_t = Σ_j a_tj h_j,  c_tj = Σ_{i<t} a_ij

    `additive` compares W s_t + b with U h_j, as in Bahdanau's paper; the others compare s_t and h_j. Without
    coverage there is no w. OpenNMT-py calls `additive` mlp, and has tanh(h_j + w c_tj) for the keys.

    Args:
      dim: D, of both kinds of states.
      choice: a comparison, a normaliser, or both joined by &.
      coverage: whether a comparison sees how much of each key was read before.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
      arXiv:1508.04025.
      Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2014,
      arXiv:1409.0473.
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017, arXiv:1704.04368.

    Example:
      >>> from attnjax.mechanisms import read
      >>> layer = GlobalAttention(8, read("additive & sparsemax")[0], rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 3, 8)), jnp.ones((2, 5, 8))).weights.shape
      (2, 1, 3, 5)
    """

    def __init__(
        self,
        dim: int,
        choice: Choice,
        *,
        coverage: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = dim
        self.mechanism = str(choice.of_model())
        parts = self._parts
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        given = options | {"dim": dim, "heads": 1, "kv_heads": 1, "head_dim": dim, "value_dim": dim}
        self.made: Any = nnx.Dict(
            {
                part.row.name: part.row.function(**taken(part.row.function, given), **part.options)
                for part in parts
                if _recipe(part).of_layer
            }
        )
        axes = {"heads": 1, "head_dim": dim}
        maps = any(part.row.name == "additive" for part in parts)
        self.query: Any = into_heads(dim, axes, **options) if maps else None
        self.key: Any = into_heads(dim, axes, bias=False, **options) if maps else None
        self.cover: nnx.Param[Array] | None = nnx.data(
            vector(rngs, 1, dim, param_dtype) if coverage else None
        )

    def project(self, context: Float[Array, "*B S D"]) -> KeysValues:
        """Returns the keys and values of a context, which can be read many times.

        Raises:
          ValueError: The context has another width.
        """
        require_width("context", context, self.dim)
        values = context[..., None, :]
        return KeysValues(values if self.key is None else self.key(context), values)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues,
        *,
        mask: Bool[Array, "*B S"] | None = None,
        coverage: Float[Array, "*B 1 S"] | None = None,
        capture: Sites | None = None,
    ) -> AttentionOutput:
        """Reads the context; the output always has the weights.

        Args:
          x: the states that ask.
          context: the states that are read, or their keys and values from `project`.
          mask: those of them that are there; None: all.
          coverage: the sum of the weights of states before x, the same for all of x; None: 0.
          capture: the sites of this layer; it has query, scores, weights, heads and out.

        Raises:
          ValueError: x or the context has another width.
        """
        require_width("x", x, self.dim)
        keys, values = context if isinstance(context, KeysValues) else self.project(context)
        query = tapped(capture, "query", x[..., None, :] if self.query is None else self.query(x))
        if self.cover is not None and coverage is not None:
            covered = jnp.moveaxis(coverage, -2, -1)[..., None]
            keys = keys + (covered * self.cover[...]).astype(keys.dtype)
        rules = self._rules() | {"mask": of_keys(mask)}
        if capture is None:
            weights = attention_weights(query, keys, **rules)
        else:
            weights = capture("weights", asked_weights(capture, query, keys, rules, heads=1))
        heads = tapped(capture, "heads", mixed(weights.astype(values.dtype), values))
        return AttentionOutput(tapped(capture, "out", heads[..., 0, :]), None, weights)

    @property
    def _parts(self) -> tuple[Part, ...]:
        return read(self.mechanism)[0].of_model().recipes

    def _rules(self) -> dict[str, Any]:
        """Returns the comparison and the normaliser, as `attention_weights` takes them."""
        return {
            _recipe(part).role: self.made[part.row.name]()
            if _recipe(part).of_layer
            else part.row.function(**part.options)
            for part in self._parts
        }


def _recipe(part: Part) -> Recipe:
    assert isinstance(part.row, Recipe)
    return part.row
