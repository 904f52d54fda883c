"""The toy experiment's task. Its hooks let tests stop a run at a chosen place."""

import os
import signal
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from attnjax.data.hosts import host_rows
from attnjax.tasks.base import Evaluation


class LineTask:
    monitor = ("error", "min")

    def __init__(self, points, batch_size):
        self.y = np.asarray(points, np.float32)
        self.x = np.arange(len(points), dtype=np.float32) / len(points)
        self.batch_size = batch_size

    def init(self, key):
        return {"slope": jnp.zeros(()), "offset": jnp.zeros(())}

    def batch(self, step):
        time.sleep(float(os.environ.get("TOY_SECONDS_PER_STEP", 0)))
        # "STEP:FILE": no batch from this step on is given while there is such a file.
        held, _, file = os.environ.get("TOY_HELD", "").partition(":")
        while held and step >= int(held) and Path(file).exists():
            time.sleep(0.02)
        if step == int(os.environ.get("TOY_TERMINATED_IN_STEP", -1)):
            os.kill(os.getpid(), signal.SIGTERM)
        rows = np.random.default_rng(step).integers(0, len(self.x), self.batch_size)
        rows = rows[host_rows(self.batch_size)]
        return {"x": self.x[rows], "y": self.y[rows]}

    def loss(self, params, batch, *, dropout, hyper):
        error = params["slope"] * batch["x"] + params["offset"] - batch["y"]
        loss = jnp.mean(error**2)
        metrics = {
            "loss": loss,
            "token_accuracy": jnp.mean(abs(error) < 1),
            "weight": jnp.float32(len(error)),
        }
        return loss, metrics

    def validate(self, params):
        error = params["slope"] * self.x + params["offset"] - self.y
        return {"error": float(jnp.mean(error**2))}

    def evaluate(self, params, folder):
        if os.environ.get("TOY_DIES_IN_EVALUATION"):
            os._exit(9)
        if float(params["slope"]) > float(os.environ.get("TOY_RAISES_ABOVE", "inf")):
            raise RuntimeError("too steep")
        if os.environ.get("TOY_TERMINATED_IN_EVALUATION"):
            os.kill(os.getpid(), signal.SIGTERM)
        picture = Path(folder) / "line.png"
        picture.write_bytes(b"")
        samples = [{"x": "1", "y": "2", "right": "yes"}]
        metrics = self.validate(params)
        if os.environ.get("TOY_NAN_SLOPE") == str(self.y[-1] / (len(self.y) - 1)):
            metrics = {"error": float("nan")}
        return Evaluation(metrics={"all points": metrics}, samples=samples, figures=[picture])

    def save(self, folder):
        (Path(folder) / "points.txt").write_text("\n".join(map(str, self.y)))
