"""Methods that weigh attention by the values which it reads."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.explain.attributions.attention import read_rows, rolled
from attnjax.explain.attributions.attribution import Attribution, method
from attnjax.explain.question import Question
from attnjax.nn.taps import scale


@method("norm_weighted", "weights", paper="2004.10102", stacks="one")
def norm_weighted(question: Question) -> Attribution:
    """Returns the norms ‖Σ_n a_n(t, s) v_n(s) W_n‖ of what each token adds to the rows read, over layers.

    Each layer's map is divided by the sums of its rows; the scores are its mean over the layers, and
    `extra["maps"]` [L, B, R, R] the norms.

    Reference:
      Kobayashi et al., Attention is Not Only a Weight: Analyzing Transformers with Vector Norms, 2020,
      arXiv:2004.10102.

    Raises:
      InputError: something stands between the heads and the last projection of a layer.
    """
    stack = question.stack
    found = question.read(f"{stack}.*.attention.weights", f"{stack}.*.attention.values")
    blocks = getattr(question.model, stack)
    maps = []
    for layer, path in enumerate(question.attention_layers()):
        attention = blocks[layer * len(blocks) // question.layers].attention
        plain = f"{path}.values" in found and getattr(attention, "output_gate", None) is None
        require(plain, f"method is 'norm_weighted': the heads of {path} do not go straight to its projection")
        values, weights = found[f"{path}.values"], found[f"{path}.weights"]
        values = jnp.repeat(values, weights.shape[1] // values.shape[2], axis=2)
        moved = jnp.einsum("bsnv,nvd->bnsd", values, attention.out.kernel[...])
        # The norm of a sum by the products of its terms, without an array [B, T, S, D].
        maps.append(jnp.linalg.norm(jnp.einsum("bnts,bnsd->btsd", weights, moved), axis=-1))
    norms = jnp.stack(maps)
    shares = norms / jnp.maximum(norms.sum(-1, keepdims=True), jnp.finfo(norms.dtype).tiny)
    scores = read_rows(question, shares.mean(0))
    return Attribution(scores, question.present, "norm_weighted", extra={"maps": norms})


@method("value_zeroing", "weights", "perturbation", paper="2301.12971", stacks="one")
def value_zeroing(question: Question) -> Attribution:
    """Returns how far the cosine of a block's result moves where one token's value is 0, rolled out.

    Each layer is asked by itself, on the input that it has, and its map divided by the sums of its rows;
    `extra["maps"]` [L, B, R, R] has these.

    Reference:
      Mohebbi et al., Quantifying Context Mixing in Transformers, 2023, arXiv:2301.12971.
    """
    stack, layers = question.stack, range(question.layers)
    clean = question.read(f"{stack}.*.residual")
    maps = []
    for layer in layers:
        path = f"{stack}.{layer}.residual"
        rows = clean[path].shape[1]

        def without(keep: Array, layer: int = layer, path: str = path) -> Array:
            write = {f"{stack}.{layer}.attention.values": scale(keep[:, None, None])}
            return question.read(path, write=write)[path]

        zeroed = jax.vmap(without)(1 - jnp.eye(rows))
        moved = jnp.moveaxis(_turned(zeroed, clean[path]), 0, -1)
        maps.append(moved / jnp.maximum(moved.sum(-1, keepdims=True), jnp.finfo(moved.dtype).tiny))
    scores = read_rows(question, rolled(jnp.stack(maps)))
    return Attribution(scores, question.present, "value_zeroing", extra={"maps": jnp.stack(maps)})


def _turned(x: Float[Array, "*S B R D"], y: Float[Array, "B R D"]) -> Float[Array, "*S B R"]:
    """Returns 1 - cos(x, y), as half the square of how far the unit vectors are apart.

    Of vectors that are nearly the same the difference from 1 is rounding alone, and may be negative.
    """

    def unit(x: Array) -> Array:
        return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), jnp.finfo(x.dtype).tiny)

    return jnp.square(unit(x) - unit(y)).sum(-1) / 2
