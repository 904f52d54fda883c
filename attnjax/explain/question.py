"""The question that is answered: why a number of a model's output is what it is for an input."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from attnjax.config import require
from attnjax.explain.target import Target
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.events import EventTransformer
from attnjax.models.graph import GraphModel
from attnjax.models.language_model import LanguageModel
from attnjax.models.recurrent import RecurrentEncoderDecoder
from attnjax.models.table import TableTransformer
from attnjax.models.vision import VisionTransformer
from attnjax.nn.taps import Edit, Taps, patch

_WRITERS = (Transformer, RecurrentEncoderDecoder)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Question:
    """A batch of inputs of a model, and one number of its output for each, which is to be explained.

    It is a pytree, and the argument of every method: a method is compiled once for inputs of one shape.
    `ask` makes it.

    Attributes:
      graph, params: the model, split.
      inputs, options: its arguments.
      target: the number.
      present: [B, T], True where there is a token and no padding; T counts what gets scores: tokens, the
        patches of an image, the columns of a table, or the events of a person.
      reader: [B, R], the weights with which the target reads the rows of the last layer; they sum to 1.
      site: the site of the vectors [B, T, W] that stand for the tokens.
      stack: the name of the layers above it.
      layers: their number; 0: they have one attention layer together, as those of a recurrent decoder.
      first: the number of rows of the stack before the first token.
      slot: the place of the tokens among the inputs.
    """

    graph: Any = field(metadata={"static": True})
    params: Any
    inputs: tuple[Array, ...]
    options: dict[str, Array]
    target: Target
    present: Bool[Array, "B T"]
    reader: Float[Array, "B R"]
    site: str = field(metadata={"static": True})
    stack: str = field(metadata={"static": True})
    layers: int = field(metadata={"static": True})
    first: int = field(default=0, metadata={"static": True})
    slot: int = field(default=0, metadata={"static": True})

    @property
    def model(self) -> Any:
        """The model, an `nnx.Module`."""
        return nnx.merge(self.graph, self.params)

    @property
    def tokens(self) -> Int[Array, "B T"]:
        """The ids of the tokens, or the images, the rows of a table, or the values of events."""
        return self.inputs[self.slot]

    def with_tokens(self, tokens: Int[Array, "B T"]) -> "Question":
        """Returns the question about other tokens in the same places."""
        inputs = tuple(tokens if i == self.slot else x for i, x in enumerate(self.inputs))
        return replace(self, inputs=inputs)

    def with_target(self, target: Target) -> "Question":
        """Returns the question about another number, whose class, token and place stay where it has none."""
        own = self.target
        index = own.index if target.index is None else target.index
        place = own.place if target.place is None else target.place
        return replace(self, target=replace(target, index=index, place=place))

    def run(self, taps: Taps | None = None) -> Any:
        """Returns the model's output."""
        return self.model(*self.inputs, **self.options, capture=taps)

    def value(self, write: dict[str, Edit] | None = None) -> Float[Array, " B"]:
        """Returns the number for each row, with edits of sites."""
        return self.target(self.run(Taps(write=write) if write else None).logits)

    def value_of(self, vectors: Float[Array, "B T W"]) -> Float[Array, " B"]:
        """Returns the number for other vectors in the place of the tokens'."""
        return self.value({self.site: patch(vectors)})

    def read(self, *patterns: str, write: dict[str, Edit] | None = None) -> dict[str, Array]:
        """Returns the arrays of sites by their path."""
        return self.run(Taps(read=patterns, write=write or {})).taps

    def vectors(self) -> Float[Array, "B T W"]:
        """Returns the vectors that stand for the tokens."""
        return self.read(self.site)[self.site]

    def sites(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of all sites of the model by their path; nothing is computed.

        Example:
          >>> from attnjax.models import LanguageModel, LanguageModelConfig
          >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
          >>> list(ask(model, jnp.array([[3, 1, 4]])).sites())[-3:]
          ['blocks.0.residual', 'norm', 'logits']
        """
        found = jax.eval_shape(lambda question: question.read("*"), self)
        return {path: found[path].shape for path in sorted(found, key=_order)}

    def attention_layers(self, of: str = "attention") -> list[str]:
        """Returns the paths of the attention layers of the stack, from the lowest."""
        if self.layers == 0:
            return [f"{self.stack}.{of}"]
        return [f"{self.stack}.{i}.{of}" for i in range(self.layers)]

    def mapped(self, scores: Float[Array, "B R"]) -> Float[Array, "B T"]:
        """Returns the scores of the tokens, given those of the rows of the stack: padding has none."""
        return jnp.where(self.present, scores[:, self.first :], 0)


def ask(
    model: Any,
    *inputs: Array,
    target: Target | None = None,
    of: str = "source",
    **options: Any,
) -> Question:
    """Returns the question why a model gives a number for an input.

    Args:
      model: an `Encoder`, `EventTransformer`, `GraphModel`, `LanguageModel`, `RecurrentEncoderDecoder`,
        `TableTransformer`, `Transformer` or `VisionTransformer`: made, loaded by `from_pretrained`, or the
        `model()` of a run.
      inputs: those of the model: tokens, images, nodes, or rows of a table; of an encoder-decoder source,
        its lengths, and target tokens; of events times, signs and values.
      target: the number; None: the logit of the class, or of the next token, that the model predicts.
      of: of an encoder-decoder, whether "source" or "target" tokens get scores.
      options: further arguments of the model, such as lengths or mask, or the edges of a graph.

    Raises:
      InputError: the model is of another kind; it has no head; the target needs a place that it lacks.
      ValueError: shapes do not fit.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> question = ask(model, jnp.array([[3, 1, 4, 0]]), lengths=jnp.array([3]))
      >>> question.target.place.tolist(), question.value().shape
      ([2], (1,))
    """
    target = Target() if target is None else target
    one = (Encoder, EventTransformer, GraphModel, LanguageModel, TableTransformer, VisionTransformer)
    known = (*one, *_WRITERS)
    require(
        isinstance(model, known),
        f"model is a {type(model).__name__}: expected one of {', '.join(kind.__name__ for kind in known)}",
    )
    require(of in ("source", "target"), f"of is {of!r}: expected 'source' or 'target'")
    expected = 3 if isinstance(model, (EventTransformer, *_WRITERS)) else 1
    require(len(inputs) == expected, f"inputs: {len(inputs)} came, {type(model).__name__} takes {expected}")
    given = {name: x for name, x in options.items() if x is not None}
    graph, params = nnx.split(model)
    made = _unread(model, tuple(map(jnp.asarray, inputs)), given, of) | {"graph": graph, "params": params}
    question = Question(**made, target=target)
    logits = jax.eval_shape(lambda question: question.run().logits, question)
    require(logits is not None, f"model is a {type(model).__name__} without a head: it has no logits")
    if logits.ndim == 3 and target.place is None:
        require(
            isinstance(model, (LanguageModel, *_WRITERS)),
            "target.place is None: expected the place of the token whose logits it reads",
        )
        last = _last(question) if isinstance(model, LanguageModel) else inputs[2].shape[1] - 1
        target = replace(target, place=last)
    batch = logits.shape[0]
    reader: Array
    if logits.ndim == 3:
        place = jnp.broadcast_to(jnp.asarray(target.place), (batch,))
        target = replace(target, place=place)
        reader = jax.nn.one_hot(place, logits.shape[1])
    else:
        require(target.place is None, f"target.place is {target.place}: the logits are of whole inputs")
        reader = _pooled(model, question)
    question = replace(question, target=target, reader=reader)
    if target.index is None:
        index = jax.jit(lambda question: question.target.predicted(question.run().logits))(question)
        return replace(question, target=replace(target, index=index))
    given_index = jnp.broadcast_to(jnp.asarray(target.index), (batch,))
    classes = logits.shape[-1]
    wrong = bool(np.any((np.asarray(given_index) < 0) | (np.asarray(given_index) >= classes)))
    require(not wrong, f"target.index is {target.index}: there are {classes} classes, from 0")
    return replace(question, target=replace(target, index=given_index))


def part_of(question: Question) -> str:
    """Returns the name of the layers of the stack whose attention reads the tokens."""
    if question.stack != "decoder":
        return "attention"
    return "cross_attention" if question.slot == 0 else "self_attention"


def _unread(model: Any, inputs: tuple[Array, ...], options: dict[str, Any], of: str) -> dict[str, Any]:
    """Returns the fields of a question but for the model, its target and the reader."""
    fields: dict[str, Any] = {"inputs": inputs, "options": options, "reader": jnp.zeros((1, 1))}
    if isinstance(model, VisionTransformer):
        before = int(model.config.class_token) + model.config.registers
        batch, height, width, _ = inputs[0].shape
        patches = (height // model.config.patch) * (width // model.config.patch)
        place = {"site": "embedding.patches", "stack": "blocks", "layers": len(model.blocks), "first": before}
        return fields | place | {"present": jnp.ones((batch, patches), bool)}
    if isinstance(model, TableTransformer):
        place = {"site": "embedding.columns", "stack": "blocks", "layers": len(model.blocks), "first": 1}
        return fields | place | {"present": jnp.ones(inputs[0].shape, bool)}
    if isinstance(model, EventTransformer):
        first = 1 + model.columns
        place = {"site": "embedding.events", "stack": "blocks", "layers": len(model.blocks), "first": first}
        return fields | place | {"slot": 2, "present": _present(inputs[2], options.get("present"))}
    if isinstance(model, _WRITERS):
        source = of == "source"
        tokens, lengths = inputs[0 if source else 2], inputs[1]
        place = {"site": f"{of}_embedding.tokens", "slot": 0 if source else 2, "stack": "decoder"}
        if not source:
            lengths = jnp.full(tokens.shape[:1], tokens.shape[1])
        layers = len(model.decoder) if isinstance(model, Transformer) else 0
        return fields | place | {"present": _present(tokens, lengths), "layers": layers}
    layers = model.config.layers
    features = isinstance(model, GraphModel) and model.of_features is not None
    place = {
        "site": "embedding.nodes" if features else "embedding.tokens",
        "stack": "blocks",
        "layers": layers,
    }
    present = _present(inputs[0], options.get("lengths", options.get("mask")))
    return fields | place | {"present": present}


def _present(tokens: Array, lengths: Any) -> Bool[Array, "B T"]:
    if lengths is None:
        return jnp.ones(tokens.shape[:2], bool)
    if lengths.dtype == jnp.bool_:
        return lengths
    return jnp.arange(tokens.shape[1]) < lengths[:, None]


def _last(question: Question) -> Int[Array, " B"]:
    rows = question.present.shape[1]
    return rows - 1 - jnp.argmax(question.present[:, ::-1], axis=1)


EVEN_POOLING = ("first", "last", "mean", "class", "both")
"""The poolings whose weights of rows are known beforehand; attention methods need them."""


def _pooled(model: Any, question: Question) -> Float[Array, "B R"]:
    """Returns the weights with which the head reads the rows of the stack, even ones of a mechanism."""
    present = question.present
    batch, rows = present.shape[0], question.first + present.shape[1]
    if isinstance(model, EventTransformer | TableTransformer):
        return jax.nn.one_hot(jnp.zeros(batch, int), rows)
    if isinstance(model, VisionTransformer):
        patches = jnp.arange(rows) >= question.first
        mean = jnp.broadcast_to(patches / patches.sum(), (batch, rows))
        first = jax.nn.one_hot(jnp.zeros(batch, int), rows)
        return {"class": first, "both": (mean + first) / 2}.get(model.config.pooling, mean)
    if model.config.pooling not in ("first", "last"):
        return present / present.sum(axis=1, keepdims=True)
    place = _last(question) if model.config.pooling == "last" else jnp.argmax(present, axis=1)
    return jax.nn.one_hot(place, rows)


def _order(path: str) -> tuple[Any, ...]:
    """Returns a key that puts the paths of sites as the model goes through them."""
    parts = path.split(".")
    start = (
        "embedding",
        "source_embedding",
        "encoder",
        "encoder_norm",
        "target_embedding",
        "blocks",
        "decoder",
    )
    inner = "query key values scores first second weights heads out".split()
    stage = start.index(parts[0]) if parts[0] in start else len(start) + (parts[0] == "logits")
    layers = ("attention", "self_attention", "cross_attention", "middle", "feed_forward", "residual")
    within = [layers.index(p) if p in layers else len(layers) for p in parts[2:3]]
    last = inner.index(parts[-1]) if parts[-1] in inner else len(inner)
    number = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else -1 if len(parts) > 1 else 0
    return stage, number, within, last, path
