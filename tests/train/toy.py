"""A toy task for the tests of training: guess each token of a sequence from the one before it.

The sequence follows a fixed permutation of the tokens, with noise; a bag-of-one-token network with dropout
learns it in a few hundred steps.
"""

from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.nn.dropout import Dropout

TOKENS, LENGTH, DIM = 11, 6, 16
PAD = 0


class ToyTask:
    """Satisfies attnjax.tasks.base.Task."""

    monitor: tuple[str, Literal["max", "min"]] = ("accuracy", "max")

    def __init__(self, batch_size: int = 8, seed: int = 0) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.next_token = np.random.default_rng(1).permutation(np.arange(1, TOKENS))

    def init(self, key):
        embed, hidden, out = jax.random.split(key, 3)
        return {
            "embed": jax.random.normal(embed, (TOKENS, DIM)),
            "hidden": {"kernel": jax.random.normal(hidden, (DIM, DIM)) / 4, "bias": jnp.zeros(DIM)},
            "out": jax.random.normal(out, (DIM, TOKENS)) / 4,
        }

    def batch(self, step: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng((self.seed, step))
        tokens = random.integers(1, TOKENS, (self.batch_size, 1))
        for _ in range(LENGTH):
            noise = random.integers(1, TOKENS, (self.batch_size, 1))
            following = self.next_token[tokens[:, -1:] - 1]
            following = np.where(random.random(following.shape) < 0.1, noise, following)
            tokens = np.concatenate([tokens, following], axis=1)
        lengths = random.integers(1, LENGTH + 1, (self.batch_size, 1))
        target = np.where(np.arange(LENGTH) < lengths, tokens[:, 1:], PAD)
        return {"source": tokens[:, :-1].astype(np.int32), "target": target.astype(np.int32)}

    def loss(self, params, batch, *, dropout: Dropout | None, hyper):
        label_smoothing = hyper.get("label_smoothing", 0.0)
        logits = self._logits(params, batch["source"], dropout)
        weight = (batch["target"] != PAD).astype(logits.dtype)
        labels = jax.nn.one_hot(batch["target"], TOKENS, dtype=logits.dtype)
        labels = (1 - label_smoothing) * labels + label_smoothing / TOKENS
        losses = -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1)
        total = jnp.maximum(jnp.sum(weight), 1)
        loss = jnp.sum(losses * weight) / total
        correct = jnp.sum((jnp.argmax(logits, -1) == batch["target"]) * weight) / total
        return loss, {"loss": loss, "token_accuracy": correct, "weight": jnp.sum(weight)}

    def validate(self, params) -> dict[str, float]:
        batch = self.batch(1_000_000)
        metrics = _metrics(type(self), params, batch)
        return {"accuracy": float(metrics["token_accuracy"]), "loss": float(metrics["loss"])}

    def evaluate(self, params, folder: Path):
        raise NotImplementedError("training never evaluates")

    def save(self, folder: Path) -> None:
        pass

    @staticmethod
    def _logits(params, source, dropout):
        x = params["embed"][source]
        x = jax.nn.relu(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        return (x if dropout is None else dropout(x)) @ params["out"]


@partial(jax.jit, static_argnums=0)
def _metrics(kind: type[ToyTask], params, batch):
    """One program for all toys: a loss reads nothing of the task that it is of."""
    return kind.loss(object.__new__(kind), params, batch, dropout=None, hyper={})[1]
