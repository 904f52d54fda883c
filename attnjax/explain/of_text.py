"""Explanations of texts: what a model attends to while it reads one, and while it writes."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import InputError, require
from attnjax.explain.question import Question
from attnjax.explain.saliencies import question_of, saliencies
from attnjax.explain.viewer import AttentionMap, Explanation, Saliency
from attnjax.models.decoding.generate import generate
from attnjax.models.decoding.text import TextModel
from attnjax.models.encoder import Encoder
from attnjax.models.output import Weights
from attnjax.nn import Capture

Names = Callable[[Sequence[int]], list[str]]
MOST_BYTES = 4 * 2**30
"""Of the captured weights of an input, in float32."""


class Reader(NamedTuple):
    """An encoder with the way from a text to its tokens.

    Attributes:
      model: the encoder.
      encode: text to token ids.
      names: the texts of ids.
    """

    model: Encoder
    encode: Callable[[str], Sequence[int]]
    names: Names


def explained(
    reader: Reader | TextModel,
    text: str,
    *,
    max_tokens: int = 0,
    capture: Capture | None = None,
    methods: Sequence[str] | None = (),
    subtitle: str = "",
    notify: Callable[[str], None] = lambda _: None,
) -> Explanation:
    """Returns the attention maps of a text, what the model wrote, and what each token counts for that.

    A decoder-only model reads what it wrote after the text: row t of its maps chose token t + 1. A row of an
    encoder-decoder's decoder has the name of the token that it chose.

    Args:
      reader: the model with its tokens.
      text: the input.
      max_tokens: tokens to write at most; 0: a decoder-only model only reads.
      capture: the layers and heads; None: all.
      methods: of attribution, by their names; None: the usual ones. A model that has neither classes nor
        tokens to choose has none.
      subtitle: the model, in words.
      notify: told what is computed now.

    Raises:
      InputError: The text has no tokens, or too many; there is no such layer or head; the model has no
        attention weights.
    """
    if isinstance(reader, TextModel) and isinstance(model := reader.model, Encoder):
        reader = Reader(model, reader.encode, named(reader.names, reader.decode))
    ids = list(reader.encode(text))
    require(len(ids) > 0, f"the input {text!r} has no tokens")
    capture = Capture() if capture is None else capture
    try:
        if isinstance(reader, Reader):
            names = reader.names(ids)
            weights = _weights(reader.model, (ids,), capture)
            vectors = weights["pool"].shape[2] if "pool" in weights else 0
            sides = {"pool": ([f"vector {i + 1}" for i in range(vectors)], names), "": (names, names)}
            maps = _maps(weights, capture, sides)
            scored = _scored(question_of(reader.model, ids, (), None), names, methods, notify)
            return Explanation(text, maps, scored, subtitle=subtitle)
        return _written(reader, text, ids, max_tokens, capture, methods, subtitle, notify)
    except (ValueError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{error} (the input {text[:40]!r} has {len(ids)} tokens)") from None


def _scored(
    question: Question | None,
    names: Sequence[str],
    methods: Sequence[str] | None,
    notify: Callable[[str], None],
) -> list[Saliency]:
    return [] if question is None or methods == () else saliencies(question, names, methods, notify)


def _written(
    reader: TextModel,
    text: str,
    ids: list[int],
    max_tokens: int,
    capture: Capture,
    methods: Sequence[str] | None,
    subtitle: str,
    notify: Callable[[str], None],
) -> Explanation:
    model: Any = reader.model
    read = named(reader.names, reader.decode)
    wrote = named(reader.written_names or reader.names, reader.decode)
    tokens: list[int] = []
    if max_tokens > 0:
        marks: dict[str, Any] = {"bos": reader.bos, "eos": reader.eos, "pad": reader.pad}
        prompt = jnp.asarray([ids], jnp.int32), jnp.array([len(ids)])
        found = generate(model, *prompt, max_length=max_tokens, **marks)
        tokens = np.asarray(found.tokens)[0, : int(found.lengths[0]) + 1].tolist()  # With the end mark.
    if model.continues:
        fed = ids + tokens[:-1]
        names = read(fed)
        first = len(ids) - 1 if tokens else None
        weights = _weights(model, (fed,), capture)
        maps = _maps(weights, capture, {"": (names, names)}, first)
    else:
        require(max_tokens > 0, "max_tokens is 0: an encoder-decoder attends to its input as it writes")
        fed = [reader.bos or 0, *tokens[:-1]]
        source, chosen = read(ids), wrote(tokens)
        sides = {"encoder": (source, source), "cross": (chosen, source), "": (chosen, wrote(fed))}
        maps = _maps(_weights(model, (ids, fed), capture), capture, sides, 0)
        names = source
    scored = _scored(question_of(model, ids, tokens, reader.bos), names, methods, notify)
    return Explanation(text, maps, scored, written=wrote(tokens), subtitle=subtitle)


def named(names: Names | None, decode: Callable[[Sequence[int]], str]) -> Names:
    """Returns the names of ids: those that are given, or else the text of each id by itself."""
    return names or (lambda ids: [decode([number]) or f"‹{number}›" for number in ids])


def _maps(
    weights: Weights,
    capture: Capture,
    sides: dict[str, tuple[list[str], list[str]]],
    first_written: int | None = None,
) -> list[AttentionMap]:
    """Returns a map for each layer, whose tokens are those of the first side that its path contains."""
    require(len(weights) > 0, "no layer has attention weights: expected a model and layers that have some")
    maps = []
    for path in in_order(weights):
        side = next(name for name in sides if name in path)
        written = None if side == "encoder" else first_written
        array = np.asarray(weights[path][0], np.float32)
        maps.append(AttentionMap(path, *sides[side], array, heads=capture.heads, first_written=written))
    return maps


def in_order(paths: Iterable[str]) -> list[str]:
    """Returns paths by the numbers of their layers, those of an encoder first.

    A compiled program gives them in the order of texts.

    >>> in_order(["blocks.10.attention", "blocks.2.attention"])
    ['blocks.2.attention', 'blocks.10.attention']
    """

    def key(path: str) -> tuple[bool, str]:
        return not path.startswith("encoder"), re.sub(r"\d+", lambda number: number[0].zfill(9), path)

    return sorted(paths, key=key)


def _weights(model: Any, tokens: tuple[list[int], ...], capture: Capture) -> Weights:
    """Returns the weights of one row of tokens: of an encoder-decoder, of its source and its target."""
    config = model.config
    layers = getattr(config, "layers", 0) or config.encoder_layers + 2 * config.decoder_layers
    layers = layers if capture.layers is None else len(capture.layers)
    heads = config.heads if capture.heads is None else len(capture.heads)
    size = 4 * layers * heads * max(map(len, tokens)) ** 2
    require(
        size <= MOST_BYTES,
        f"{max(map(len, tokens))} tokens: the weights of {layers} layers × {heads} heads are "
        f"{size / 2**30:.0f} GiB, expected at most {MOST_BYTES // 2**30}: ask for fewer layers or heads",
    )
    return _captured(*nnx.split(model), tuple(jnp.asarray([row], jnp.int32) for row in tokens), capture)


@partial(jax.jit, static_argnums=(0, 3))
def _captured(graph: Any, state: Any, tokens: tuple[jax.Array, ...], capture: Capture) -> Weights:
    model = nnx.merge(graph, state)
    if len(tokens) == 1:
        return model(tokens[0], capture=capture).weights
    source, target = tokens
    return model(source, jnp.full(len(source), source.shape[1]), target, capture=capture).weights
