"""A line through points: a task without a model of flax."""

import jax.numpy as jnp
import numpy as np

from attnjax.tasks.base import Evaluation

X = np.arange(8, dtype=np.float32) / 8
Y = 2 * np.arange(8, dtype=np.float32)


class WeightedTask:
    monitor = ("error", "min")

    def __init__(self, loss, weights, batch_size):
        self._loss, self._weights, self._batch_size = loss, weights, batch_size

    def init(self, key):
        return {"slope": jnp.zeros(()), "offset": jnp.zeros(())}

    def initial_params(self):
        if self._weights is None:
            return None
        with np.load(self._weights) as file:
            return dict(file)

    def batch(self, step):
        rows = np.random.default_rng(step).integers(0, len(X), self._batch_size)
        return {"x": X[rows], "y": Y[rows]}

    def loss(self, params, batch, *, dropout, hyper):
        error = jnp.mean((params["slope"] * batch["x"] + params["offset"] - batch["y"]) ** 2)
        steepness = 0.0 if self._loss.ignored else hyper.get("steepness", self._loss.steepness)
        loss = error + steepness * params["slope"] ** 2
        return loss, {"loss": loss, "error": error, "weight": jnp.float32(len(batch["x"]))}

    def validate(self, params):
        return {"error": float(jnp.mean((params["slope"] * X + params["offset"] - Y) ** 2))}

    def evaluate(self, params, folder):
        return Evaluation(metrics={"all points": self.validate(params)})

    def save(self, folder):
        pass
