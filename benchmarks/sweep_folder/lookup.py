"""Which value stood beside a key? The small task that `benchmarks/sweep.py` trains many times."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from attnjax.experiment.registry import experiment
from attnjax.train.config import TrainConfig

TOKENS, PAIRS, DIM, HEADS = 32, 8, 64, 4


class LookupTask:
    """Key-value pairs, then one of the keys: an attention and a feed-forward layer answer the value."""

    monitor: tuple[str, Literal["max", "min"]] = ("accuracy", "max")

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def init(self, key: Any) -> Any:
        import jax

        shapes = {"embed": (TOKENS, DIM), "place": (2 * PAIRS + 1, DIM), "qkv": (DIM, 3 * DIM)}
        shapes |= {"up": (DIM, 2 * DIM), "down": (2 * DIM, DIM), "out": (DIM, TOKENS)}
        keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
        return {name: jax.random.normal(keys[name], s) / s[0] ** 0.5 for name, s in shapes.items()}

    def batch(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(step)
        half = TOKENS // 2
        keys = rng.permuted(np.tile(np.arange(half), (self.batch_size, 1)), axis=1)[:, :PAIRS]
        values = rng.integers(half, TOKENS, (self.batch_size, PAIRS))
        asked = rng.integers(0, PAIRS, self.batch_size)
        rows = np.arange(self.batch_size)
        pairs = np.stack([keys, values], axis=2).reshape(self.batch_size, -1)
        source = np.concatenate([pairs, keys[rows, asked][:, None]], axis=1)
        return {"source": source.astype(np.int32), "target": values[rows, asked].astype(np.int32)}

    def loss(self, params: Any, batch: Any, *, dropout: Any, hyper: Any) -> Any:
        import jax
        import jax.numpy as jnp

        import attnjax as aj

        x = params["embed"][batch["source"]] + params["place"]
        parts = jnp.split(x @ params["qkv"], 3, axis=-1)
        heads = [part.reshape(*part.shape[:2], HEADS, -1) for part in parts]
        x = x + aj.attention(*heads, mask=aj.causal()).reshape(x.shape)
        hidden = jax.nn.relu(x[:, -1] @ params["up"])
        hidden = hidden if dropout is None else dropout(hidden)
        logits = (x[:, -1] + hidden @ params["down"]) @ params["out"]
        labels = jax.nn.one_hot(batch["target"], TOKENS)
        loss = -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1))
        accuracy = jnp.mean(logits.argmax(-1) == batch["target"])
        return loss, {"loss": loss, "token_accuracy": accuracy, "weight": jnp.float32(self.batch_size)}

    def validate(self, params: Any) -> dict[str, float]:
        _, metrics = self.loss(params, self.batch(10**6), dropout=None, hyper={})
        return {"accuracy": float(metrics["token_accuracy"])}

    def evaluate(self, params: Any, folder: Path) -> Any:
        from attnjax.tasks.base import Evaluation

        return Evaluation(metrics={"held out": self.validate(params)})

    def save(self, folder: Path) -> None:
        pass


@experiment
@dataclass(frozen=True)
class Lookup:
    """Answer with the value that stood beside a key."""

    train: TrainConfig = TrainConfig(
        steps=300, batch_size=32, log_every=50, checkpoint_every=300, warmup_steps=20
    )
    seed: int = 0

    def task(self, folder: Path | None = None) -> LookupTask:
        return LookupTask(self.train.batch_size)
