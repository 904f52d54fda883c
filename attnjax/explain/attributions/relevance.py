"""Gradient times attention, by the rules for models of one stack or two."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.explain.attributions.attention import read_rows
from attnjax.explain.attributions.attribution import Attribution, method
from attnjax.explain.question import Question
from attnjax.nn.taps import Taps, add

Relevance = Float[Array, "B R S"]


@method("chefer", "weights", "gradients", paper="2103.15679")
def chefer(question: Question) -> Attribution:
    """Returns the relevance that gradient × attention gives, carried through self- and cross-attention.

    With Ā = mean over heads of (∇A ⊙ A)⁺ and R = I at first: R ← R + Ā R in self-attention; in
    cross-attention R_qs ← R_qs + R̄_qqᵀ Ā R̄_ss, where R̄ is R with the rows of R - I divided by their sums.

    Reference:
      Chefer et al., Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
      Transformers, 2021, arXiv:2103.15679.
    """
    maps, value = weighted(question)
    if question.stack != "decoder":
        own = _start(maps[f"{question.stack}.0.attention.weights"])
        for path in question.attention_layers():
            own = own + maps[f"{path}.weights"] @ own
        return Attribution(read_rows(question, own), question.present, "chefer", value)
    encoder = [path for path in maps if path.startswith("encoder.")]
    source = _start(maps[encoder[0]])
    for layer in range(len(encoder)):
        source = source + maps[f"encoder.{layer}.attention.weights"] @ source
    target = _start(maps["decoder.0.self_attention.weights"])
    cross = jnp.zeros((*target.shape[:-1], source.shape[-1]))
    for layer in range(question.layers):
        own = maps[f"decoder.{layer}.self_attention.weights"]
        cross, target = cross + own @ cross, target + own @ target
        read = maps[f"decoder.{layer}.cross_attention.weights"]
        cross = cross + jnp.swapaxes(_normalised(target), -1, -2) @ read @ _normalised(source)
    found = cross if question.slot == 0 else target
    return Attribution(read_rows(question, found), question.present, "chefer", value)


def weighted(question: Question) -> tuple[dict[str, Relevance], Float[Array, " B"]]:
    """Returns (∇A ⊙ A)⁺, the mean over heads, for each layer by the path of its weights, and the value."""
    shapes = {path: shape for path, shape in question.sites().items() if path.endswith("attention.weights")}
    none = {path: jnp.zeros(shape) for path, shape in shapes.items()}

    def value(by: dict[str, Array]) -> tuple[Array, tuple[dict[str, Array], Array]]:
        output = question.run(Taps(read=tuple(shapes), write={path: add(x) for path, x in by.items()}))
        values = question.target(output.logits)
        return values.sum(), (output.taps, values)

    gradients, (weights, values) = jax.grad(value, has_aux=True)(none)
    maps = {path: jnp.maximum(gradients[path] * weights[path], 0).mean(1) for path in shapes}
    return maps, values


def _start(maps: Relevance) -> Relevance:
    return jnp.broadcast_to(jnp.eye(maps.shape[-1]), (maps.shape[0], maps.shape[-1], maps.shape[-1]))


def _normalised(relevance: Relevance) -> Relevance:
    one = jnp.eye(relevance.shape[-1])
    rest = relevance - one
    total = rest.sum(-1, keepdims=True)
    # A row that nothing has been added to stays what it was.
    return jnp.where(total == 0, 0, rest / jnp.where(total == 0, 1, total)) + one
