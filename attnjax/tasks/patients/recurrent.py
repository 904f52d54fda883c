"""A gated recurrent unit trained beside the model, as a baseline without attention."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from attnjax.data.pipeline import Batches
from attnjax.models.events import EventGRU
from attnjax.models.events_config import EventsConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays
from attnjax.tasks.inference import in_batches
from attnjax.tasks.losses import of_labels
from attnjax.tasks.metrics.binary import auroc

LOOKS = 10
"""Times that the validation part is looked at; the best state gives the answers."""
READ = ("times", "signs", "values", "persons", "present")
"""The arrays that a model reads."""


def recurrent_shares(
    config: EventsConfig,
    signs: int,
    classes: Sequence[int],
    parts: Mapping[str, Arrays],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float = 3e-3,
    rate: float = 0.1,
    seed: int = 0,
) -> Float[np.ndarray, " n"]:
    """Returns the probability of label 1 that an `EventGRU` gives for the persons of the test.

    Args:
      config: of the model beside it, whose width it has.
      signs: their number.
      classes: of the further columns.
      parts: the arrays of "train", "validation" and "test".
      steps: of Adam, with a learning rate that falls to 0.
      batch_size: persons of a step.
      learning_rate: of the first step.
      rate: of dropout.
      seed: of parameters and dropout.
    """
    graph, params = nnx.split(EventGRU(config, signs, classes, rngs=nnx.Rngs(seed)), nnx.Param)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    batches, key = Batches(parts["train"], batch_size, seed), jax.random.key(seed)

    def logits(params: nnx.State, arrays: Mapping[str, Array], dropout: Dropout | None = None) -> Array:
        model = nnx.merge(graph, params)
        own = {name: arrays[name] for name in ("persons", "present")}
        return model(arrays["times"], arrays["signs"], arrays["values"], **own, dropout=dropout)

    @jax.jit
    def step(
        params: nnx.State, state: optax.OptState, batch: Mapping[str, Array], number: int
    ) -> tuple[nnx.State, optax.OptState]:
        dropout = Dropout(rate, jax.random.fold_in(key, number))

        def loss(params: nnx.State) -> Array:
            return of_labels(logits(params, batch, dropout), batch["labels"])[0]

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    share = jax.jit(lambda params, arrays: jax.nn.softmax(logits(params, arrays).astype(jnp.float32))[:, 1])

    def shares(params: nnx.State, part: str) -> np.ndarray:
        found: np.ndarray = in_batches(share, params, {name: parts[part][name] for name in READ})
        return found

    state, best, found = optimizer.init(params), -1.0, params
    for number in range(steps):
        params, state = step(params, state, jax.device_put(batches[number]), number)
        if (number + 1) % max(1, steps // LOOKS) == 0 or number + 1 == steps:
            score = auroc(shares(params, "validation"), parts["validation"]["labels"] == 1)
            if score > best:
                best, found = score, params
    return shares(found, "test")
