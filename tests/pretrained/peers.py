"""Families against transformers: boosted weights, every layer's attention and vectors, planted bugs."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained
from attnjax.pretrained.table import parameters
from attnjax.pretrained.verify import boost

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
CAUGHT = 2 * TOLERANCE["float32"]
"""A planted bug makes a difference of at least so much; right ones differ by about 1e-6."""
VOCAB, LENGTHS = 31, (8, 3, 5)
LONGEST = max(LENGTHS)
SIZES = {"vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}

Values = dict[str, np.ndarray]
"""Parameters of ours by path, or outputs by what they are of."""
Bug = Callable[[Values], Values]


@dataclasses.dataclass(frozen=True)
class Case:
    """A family: the class in transformers, fields of its config, and bugs to plant.

    Attributes:
      settings: bugs as changes of our config.
      weights: bugs as functions from our parameters to others.
      double: whether transformers computes in float64 throughout, where it is asked to.
    """

    model: str
    fields: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, Bug]
    double: bool = False

    def theirs(self, dtype: str = "float32") -> Any:
        """The model of transformers, with boosted weights."""
        made = getattr(transformers, self.model)
        config = made.config_class(**SIZES | dict(self.fields), attn_implementation="eager")
        torch.manual_seed(0)
        return boosted(made(config).to(getattr(torch, dtype))).eval()


def boosted(model: Any) -> Any:
    """The model of transformers with weights that make every part of it count."""
    return boost(model, torch)


def tokens() -> np.ndarray:
    return np.random.default_rng(1).integers(0, VOCAB, (len(LENGTHS), LONGEST))


def answers(model: Any, *, left: bool = False) -> Values:
    """What the model of transformers says of ragged rows, padded on either side; of padding NaN."""
    mask = np.arange(LONGEST) < np.array(LENGTHS)[:, None]
    given = tokens()
    if left:
        order = np.stack([np.roll(np.arange(LONGEST), LONGEST - n) for n in LENGTHS])
        mask, given = (np.take_along_axis(x, order, 1) for x in (mask, given))
    places = np.clip(np.cumsum(mask, 1) - 1, 0, None)
    with torch.no_grad():
        out = model(
            torch.tensor(given),
            attention_mask=torch.tensor(mask.astype(int)),
            position_ids=torch.tensor(places),
            output_attentions=True,
            output_hidden_states=True,
        )
    last = len(out.hidden_states) - 1
    names = ["embedding", *(f"blocks.{i}" for i in range(last - 1)), "norm"]
    found = {"logits": out.logits, **dict(zip(names, out.hidden_states, strict=True))}
    found |= {f"blocks.{i}.attention": w for i, w in enumerate(out.attentions)}
    values = {name: x.double().numpy() for name, x in found.items()}
    if left:
        values = {name: _rolled(x, len(x.shape) == 4) for name, x in values.items()}
    return {name: _of_tokens(x) for name, x in values.items()}


class Ours:
    """Our model, whose program is compiled once for all values of its parameters."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph, self.state = nnx.split(model)

        @jax.jit
        def run(state: Any) -> tuple[Any, Any, Any]:
            given = jnp.asarray(tokens()), jnp.array(LENGTHS)
            out = nnx.merge(self.graph, state)(given[0], lengths=given[1], capture=Capture(hidden=True))
            return out.logits, out.weights, out.hidden

        self._run = run

    def answers(self, bug: Bug | None = None) -> Values:
        """What it says of ragged rows, with other parameters where there is a bug; of padding NaN."""
        state = self.state
        if bug is not None:
            values = {name: np.array(param[...]) for name, param in parameters(self.model).items()}
            state = state_of(self.model, bug(values))
        logits, weights, hidden = self._run(state)
        found = {"logits": logits, **weights, **hidden}
        return {name: _of_tokens(np.asarray(x, np.float64)) for name, x in found.items()}

    def with_settings(self, changes: Mapping[str, Any]) -> "Ours":
        """The same parameters in a model of another config, as far as it has them."""
        config = dataclasses.replace(self.model.config, **changes)
        vocab = self.model.embedding.tokens.num_embeddings
        graph, shapes = nnx.split(
            nnx.eval_shape(lambda: type(self.model)(config, vocab=vocab, rngs=nnx.Rngs(0)))
        )
        old, leaves = parameters(self.model), []
        for path, param in nnx.to_flat_state(shapes):
            same = old.get(".".join(map(str, path)))
            kept = same is not None and same.shape == param.shape
            leaves.append((path, param.replace(same[...] if kept else jnp.zeros(param.shape))))
        return Ours(nnx.merge(graph, nnx.from_flat_state(leaves)))


def difference(found: Values, expected: Values) -> tuple[float, str]:
    """The largest difference, in parts of the largest value of its array, and where it is."""
    assert found.keys() >= expected.keys(), expected.keys() - found.keys()
    sizes = {
        name: float(np.nanmax(np.abs(found[name] - x)) / np.nanmax(np.abs(x))) for name, x in expected.items()
    }
    where = max(sizes, key=lambda name: np.nan_to_num(sizes[name], nan=np.inf))
    return sizes[where], where


def uncaught(case: Case, folder: Path, expected: Values) -> dict[str, tuple[float, str]]:
    """The planted bugs that make no difference."""
    ours = Ours(from_pretrained(folder))
    found = {name: difference(ours.answers(bug), expected) for name, bug in case.weights.items()}
    for name, changes in case.settings.items():
        given = {field: getattr(ours.model.config, field) for field in changes}
        assert given != changes, name
        found[name] = difference(ours.with_settings(changes).answers(), expected)
    return {name: (size, where) for name, (size, where) in found.items() if not size > CAUGHT}


def state_of(model: Any, values: Values) -> Any:
    flat = nnx.to_flat_state(nnx.state(model))
    return nnx.from_flat_state(
        [(path, param.replace(jnp.asarray(values[".".join(map(str, path))]))) for path, param in flat]
    )


def _rolled(x: np.ndarray, pairs: bool) -> np.ndarray:
    """Rows that were padded on the left, as if on the right."""
    rows = []
    for row, length in zip(x, LENGTHS, strict=True):
        row = np.roll(row, length - LONGEST, axis=-2)
        rows.append(np.roll(row, length - LONGEST, axis=-1) if pairs else row)
    return np.stack(rows)


def _of_tokens(x: np.ndarray) -> np.ndarray:
    """The rows of tokens; those of padding are NaN."""
    x = np.array(x)
    for row, length in zip(x, LENGTHS, strict=True):
        row[..., length:, :] = np.nan
    return x


# Bugs that every family may have.


def every(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Bug:
    def planted(values: Values) -> Values:
        found = {name: change(x) for name, x in values.items() if part in name}
        assert found, part
        return values | found

    return planted


def exchanged(one: str, other: str) -> Bug:
    def planted(values: Values) -> Values:
        pairs = {name: name.replace(one, other) for name in values if one in name}
        assert pairs, one
        return values | {a: values[b] for a, b in pairs.items()} | {b: values[a] for a, b in pairs.items()}

    return planted


def turned(x: np.ndarray) -> np.ndarray:
    """A matrix that was not transposed, of the shape that it has all the same."""
    return x.reshape(len(x), -1).reshape(-1, len(x)).T.reshape(x.shape)


GATED: Mapping[str, Bug] = {"gate and up exchanged": exchanged("gate.kernel", "up.kernel")}
BUGS: Mapping[str, Bug] = {
    "heads reversed": every("attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("attention.query.kernel", turned),
    "key and value exchanged": exchanged("attention.key.kernel", "attention.value.kernel"),
    "wrong scale": every("attention.query.kernel", lambda x: 1.1 * x),
    "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
}
BIASED: Mapping[str, Bug] = {
    "no bias of queries": every("attention.query.bias", np.zeros_like),
    "no bias of values": every("attention.value.bias", np.zeros_like),
}
