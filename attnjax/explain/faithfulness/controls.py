"""Controls of attention itself: other weights in its place, and what the output does then."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.explain.question import Question, part_of
from attnjax.nn.taps import Edit, Taps, uniform

_PENALTY, _STEP = 500.0, 0.3
"""The weight of a change of the output beyond what is allowed, as in the paper's code; the step of Adam."""


def divergence(p: Float[Array, "*B T"], q: Float[Array, "*B T"]) -> Float[Array, "*B"]:
    """Returns the Jensen–Shannon divergence of distributions, in nats: 0 where equal, log 2 where apart.

    Example:
      >>> round(float(divergence(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))), 4)
      0.6931
    """
    p, q = jnp.asarray(p), jnp.asarray(q)
    middle = (p + q) / 2

    def to_middle(x: Array) -> Array:
        # Both logarithms are finite where x is 0, so that gradients are, too.
        ratio = jnp.where(x > 0, x, 1) / jnp.where(x > 0, middle, 1)
        return jnp.where(x > 0, x * jnp.log(ratio), 0).sum(-1)

    return (to_middle(p) + to_middle(q)) / 2


def attention_permutation(question: Question, orders: int = 20, seed: int = 0) -> Float[np.ndarray, " B"]:
    """Returns the median change of the output where each row of weights is permuted, of so many permutations.

    The change is the total variation distance ½ Σ|p - p'|. Every row of every head and layer that reads the
    tokens has a permutation of its own, among the keys that it gave weight to.

    Reference:
      Jain & Wallace, Attention is not Explanation, 2019, arXiv:1902.10186.
    """
    require_weights(question, "attention_permutation")
    return np.median(np.asarray(_permuted(question, jax.random.split(jax.random.key(seed), orders))), axis=0)


@jax.jit
def _permuted(question: Question, keys: Array) -> Float[Array, "M B"]:
    paths = [f"{path}.weights" for path in question.attention_layers(part_of(question))]
    own = outputs(question)

    def change(key: Array) -> Array:
        each = jax.random.split(key, len(paths))
        return variation(own, outputs(question, dict(zip(paths, map(permute, each), strict=True))))

    return jax.lax.map(change, keys)


def permute(key: Array) -> Edit:
    """Returns the edit of weights by which those of each row change places, among the keys that have any."""
    return Partial(_exchanged, key)


def _exchanged(key: Array, x: Float[Array, "*B R S"]) -> Float[Array, "*B R S"]:
    seen = x != 0
    start = jnp.argsort(jnp.where(seen, jax.random.uniform(key, x.shape), 2), axis=-1)
    place = jnp.argsort(~seen, axis=-1, stable=True)
    return jnp.put_along_axis(x, place, jnp.take_along_axis(x, start, axis=-1), axis=-1, inplace=False)


def uniform_attention(question: Question) -> Float[np.ndarray, " B"]:
    """Returns the change of the output where all weights are even, as the total variation distance.

    Where it is small, the model does not need its attention, and no map of it explains anything.

    Reference:
      Wiegreffe & Pinter, Attention is not not Explanation, 2019, arXiv:1908.04626. There the model is
      trained anew with even weights; here it stays.
    """
    require_weights(question, "uniform_attention")
    return np.asarray(_evened(question))


@jax.jit
def _evened(question: Question) -> Float[Array, " B"]:
    write = {f"{path}.weights": uniform() for path in question.attention_layers(part_of(question))}
    return variation(outputs(question), outputs(question, write))


def adversarial_attention(
    question: Question,
    epsilon: float = 0.01,
    steps: int = 200,
    starts: int = 8,
    layer: int = -1,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """Returns how far other weights of a layer can be while the output stays, and how far the output then is.

    By gradient steps the Jensen–Shannon divergence of the weights from the model's own grows, the mean over
    heads of the rows that the target reads, under a penalty on a total variation distance of the output
    beyond epsilon; the largest of all steps that keep to it counts. It is log 2 = 0.69 at most, and a local
    maximum: there may be weights further away.

    Args:
      question: from `ask`.
      epsilon: the change of the output that is allowed.
      steps: of Adam.
      starts: places to begin at, of which the best end counts for each input.
      layer: its number; -1 is the last.
      seed: draws them.

    Raises:
      InputError: the layer's weights are no distributions.

    Reference:
      Jain & Wallace, Attention is not Explanation, 2019, arXiv:1902.10186.
    """
    require_weights(question, "adversarial_attention")
    path = question.attention_layers(part_of(question))[layer] + ".weights"
    weights = jax.jit(lambda question: question.read(path)[path])(question)
    require(
        bool((weights >= 0).all()),
        f"metrics has 'adversarial_attention': the weights of {path} are no distributions",
    )
    keys = jax.random.split(jax.random.key(seed), starts)
    found = _adversary(question, epsilon, keys, path, steps)
    return np.asarray(found[0]), np.asarray(found[1])


@partial(jax.jit, static_argnums=(3, 4))
def _adversary(question: Question, epsilon: Any, keys: Array, path: str, steps: int) -> tuple[Array, Array]:
    weights, own = question.read(path)[path], outputs(question)

    def judged(bias: Array) -> tuple[Array, Array]:
        other = _biased(bias, weights)
        apart = jnp.einsum("bnr,br->b", divergence(weights, other), question.reader) / weights.shape[1]
        return apart, variation(own, outputs(question, {path: Partial(_biased, bias)}))

    def loss(bias: Array) -> tuple[Array, tuple[Array, Array]]:
        apart, change = judged(bias)
        return (_PENALTY * jax.nn.relu(change - epsilon) - apart).sum(), (apart, change)

    adam = optax.adam(_STEP)

    def step(state: Any, _: None) -> tuple[Any, None]:
        bias, moments, best, at = state
        gradient, (apart, change) = jax.grad(loss, has_aux=True)(bias)
        better = (change <= epsilon) & (apart > best)
        updates, moments = adam.update(gradient, moments)
        state = bias + updates, moments, jnp.where(better, apart, best), jnp.where(better, change, at)
        return state, None

    def found(key: Array) -> tuple[Array, Array]:
        bias, none = jax.random.normal(key, weights.shape), jnp.zeros(own.shape[0])
        state = bias, adam.init(bias), none, none
        (_, _, best, at), _ = jax.lax.scan(step, state, length=steps)
        return best, at

    best, at = jax.vmap(found)(keys)
    chosen = jnp.argmax(best, axis=0)[None]
    return jnp.take_along_axis(best, chosen, axis=0)[0], jnp.take_along_axis(at, chosen, axis=0)[0]


def _biased(bias: Array, x: Float[Array, "*B R S"]) -> Float[Array, "*B R S"]:
    """Returns weights ∝ x·exp(bias); a key without weight gets none."""
    logits = jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1)) + bias, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    shares = jnp.where(x > 0, jnp.exp(logits - jnp.where(jnp.isfinite(top), top, 0)), 0)
    return shares / jnp.maximum(shares.sum(-1, keepdims=True), jnp.finfo(x.dtype).tiny)


def outputs(question: Question, write: dict[str, Edit] | None = None) -> Float[Array, "B L"]:
    """Returns the probabilities of all classes or tokens where the target reads."""
    logits = question.run(Taps(write=write) if write else None).logits
    if logits.ndim == 3:
        logits = jnp.take_along_axis(logits, question.target.place[:, None, None], axis=1)[:, 0]
    return jax.nn.softmax(logits)


def variation(p: Float[Array, "B L"], q: Float[Array, "B L"]) -> Float[Array, " B"]:
    """Returns the total variation distance ½ Σ|p - q|."""
    return jnp.abs(p - q).sum(-1) / 2


def require_weights(question: Question, name: str) -> None:
    """Raises InputError where the layers that read the tokens have no weights of attention."""
    sites = question.sites()
    for path in question.attention_layers(part_of(question)):
        require(
            f"{path}.weights" in sites, f"metrics has {name!r}: {path} has no weights of attention to change"
        )
