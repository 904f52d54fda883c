"""Heads: what the output loses without each, which paths carry it, and what they attend to."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.explain.attributions.attention import weights_of
from attnjax.explain.question import Question, part_of
from attnjax.nn.taps import Edit, patch


def ablate_heads(
    question: Question, value: Literal["zero", "mean"] = "zero", part: str | None = None
) -> Float[Array, "L N B"]:
    """Returns how much the number falls without each head, as one program.

    The heads of a layer are a batch; what lies below it is computed once for all of them.

    Args:
      question: from `ask`.
      value: what a head gives instead: 0, or its mean over the tokens of the input.
      part: the attention layers; None: those that read the tokens.

    Raises:
      InputError: the value is another.

    Reference:
      Michel et al., Are Sixteen Heads Really Better than One?, 2019, arXiv:1905.10650.
    """
    require(value in ("zero", "mean"), f"value is {value!r}: expected 'zero' or 'mean'")
    return _ablated(question, value == "mean", part or part_of(question))


def _ablated(question: Question, mean: bool, part: str) -> Float[Array, "L N B"]:
    paths = [f"{path}.heads" for path in question.attention_layers(part)]
    clean, own = question.read(*paths), question.value()
    falls = []
    for path in paths:
        heads = clean[path]
        rest = _mean(question, heads, part) if mean else jnp.zeros(())

        def without(chosen: Array, path: str = path, rest: Array = rest) -> Array:
            return own - question.value({path: patch(rest, chosen[:, None])})

        falls.append(jax.vmap(without)(jnp.eye(heads.shape[2], dtype=bool)))
    return jnp.stack(falls)


_ablated = jax.jit(_ablated, static_argnums=(1, 2))


def _mean(question: Question, heads: Float[Array, "B R N V"], part: str) -> Float[Array, "B 1 N V"]:
    there = jnp.ones(heads.shape[:2], bool)
    if part != "cross_attention":
        there = there.at[:, question.first :].set(question.present)
    there = there[..., None, None]
    return jnp.where(there, heads, 0).sum(1, keepdims=True) / there.sum(1, keepdims=True)


def patch_paths(
    question: Question,
    other: Question,
    receiver: str | None = None,
    *,
    part: str | None = None,
    feed_forward: bool = True,
) -> Float[Array, "L N B"]:
    """Returns how the number changes where each head's path to a receiver carries what another input gave.

    A head gives what it gives for the other input; all heads above it give what they gave before, so that
    only its direct path to the receiver changes. What the receiver then is takes its place in a run of the
    input itself. It is one program; the heads of a layer are a batch.

    Args:
      question: from `ask`.
      other: the question about another input of the same shape.
      receiver: the site that receives; None: the logits, the direct effect.
      part: the attention layers whose heads send; None: those that read the tokens.
      feed_forward: whether the path may go through feed-forward layers; otherwise these stay, too.

    Raises:
      InputError: the inputs differ in shape.

    References:
      Wang et al., Interpretability in the Wild, 2022, arXiv:2211.00593.
      Goldowsky-Dill et al., Localizing Model Behavior with Path Patching, 2023, arXiv:2304.05969.
    """
    here, there = question.tokens.shape, other.tokens.shape
    require(here == there, f"other {list(there)}: expected an input of the shape {list(here)}")
    require(question.layers > 0, "question: a recurrent network has no heads above each other")
    return _patched(question, other, receiver, part or part_of(question), feed_forward)


def _patched(question: Question, other: Question, receiver: Any, part: str, through: bool) -> Array:
    paths = [f"{path}.heads" for path in question.attention_layers(part)]
    stays = [f"{question.stack}.*.{kind}.heads" for kind in _parts(question)]
    stays += [] if through else [f"{question.stack}.*.feed_forward.out"]
    clean, sent, own = question.read(*stays), other.read(*paths), question.value()
    changes = []
    for layer, path in enumerate(paths):
        above: dict[str, Edit] = {
            site: patch(x) for site, x in clean.items() if _stays(site, path, layer, question.stack)
        }

        def along(chosen: Array, path: str = path, above: dict[str, Edit] = above) -> Array:
            write = above | {path: patch(sent[path], chosen[:, None])}
            if receiver is None:
                return question.value(write) - own
            received = question.read(receiver, write=write)
            return question.value({site: patch(x) for site, x in received.items()}) - own

        changes.append(jax.vmap(along)(jnp.eye(sent[path].shape[2], dtype=bool)))
    return jnp.stack(changes)


_patched = jax.jit(_patched, static_argnums=(2, 3, 4))


def _parts(question: Question) -> tuple[str, ...]:
    return ("self_attention", "cross_attention") if question.stack == "decoder" else ("attention",)


def _stays(site: str, sender: str, layer: int, stack: str) -> bool:
    """Returns whether a site is computed after the sender."""
    number = int(site.removeprefix(f"{stack}.").split(".")[0])
    if number != layer:
        return number > layer
    order = ("self_attention", "cross_attention", "attention", "feed_forward")
    return order.index(site.split(".")[2]) > order.index(sender.split(".")[2])


@jax.jit
def previous_token_scores(question: Question) -> Float[Array, "L N B"]:
    """Returns how much each head attends to the token before, the mean over all tokens but the first."""
    maps = jnp.stack(weights_of(question, _parts(question)[0]))
    return _along(maps, 1, question.present)


def induction_scores(question: Question, period: int) -> Float[Array, "L N B"]:
    """Returns how much each head attends to the token after the last place of the same token.

    The input is a sequence that repeats itself; the mean is over all tokens but those of the first period,
    of the weight period - 1 tokens back.

    Args:
      question: from `ask`, about such an input.
      period: the tokens after which it repeats.

    Raises:
      InputError: the input is no longer than the period.

    Reference:
      Olsson et al., In-context Learning and Induction Heads, 2022, arXiv:2209.11895.
    """
    tokens = question.present.shape[1]
    require(2 <= period < tokens, f"period is {period}: expected from 2 to below the {tokens} tokens")
    return _induction(question, period)


def _induction(question: Question, period: int) -> Float[Array, "L N B"]:
    maps = jnp.stack(weights_of(question, _parts(question)[0]))
    later = question.present & (jnp.arange(question.present.shape[1]) >= period)
    return _along(maps, period - 1, later)


_induction = jax.jit(_induction, static_argnums=1)


def _along(maps: Float[Array, "L B N T T"], back: int, rows: Array) -> Float[Array, "L N B"]:
    """Returns the mean weight so many tokens back, over the rows that are True and have such a token."""
    weights = jnp.diagonal(maps, -back, axis1=-2, axis2=-1)
    counted = rows[:, back:][:, None]
    total = jnp.where(counted, weights, 0).sum(-1) / jnp.maximum(counted.sum(-1), 1)
    return jnp.moveaxis(total, 1, -1)
