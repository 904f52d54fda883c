"""Layers that choose tokens or heads, and the losses that they leave."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.nn.training import in_training
from attnjax.ops import masks
from attnjax.tasks.model_task import ModelTask
from tests.nn.latent.literal_latent import joined, softmax, turned, weight
from tests.nn.latent.made import DIM, compiled, near, tokens

pytestmark = pytest.mark.usefixtures("x64")


def literal_depths(layer: Any, x: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Causal softmax attention among chosen tokens of one row, rotated by their places in the row."""
    out = np.zeros_like(x)
    logits = x @ np.asarray(layer.router.kernel[...])[:, 0] + np.asarray(layer.router.bias[...])[0]
    part = layer.attention
    query, key, value = (weight(p, x) for p in (part.query, part.key, part.value))
    query, key = turned(query), turned(key)
    for t in chosen:
        seen = [s for s in chosen if s <= t]
        heads = [
            softmax(key[seen, n] @ query[t, n] / np.sqrt(query.shape[-1])) @ value[seen, n]
            for n in range(part.heads)
        ]
        out[t] = logits[t] * joined(part, np.stack(heads)[None])[0]
    return out


def test_mixture_of_depths_chooses_by_rank_in_training_and_by_sign_elsewhere() -> None:
    """Rows of 6 and 5 tokens; then the same tokens one after another."""
    layer = compiled("mixture_of_depths(share=0.4, cost=0.5)").module
    x, lengths = np.asarray(tokens()), np.array([6, 5])
    mask = masks.causal() & masks.lengths(key=jnp.asarray(lengths))
    loud = np.where(np.arange(6)[:, None] < lengths[:, None, None], 0, np.nan)
    logits = x @ np.asarray(layer.router.kernel[...])[:, 0] + np.asarray(layer.router.bias[...])[0]

    def trained(x: jax.Array) -> Any:
        with in_training() as losses:
            return layer(x, mask=mask).out, losses

    (ranked, (loss,)), signed = (
        jax.jit(trained)(x + loud),
        jax.jit(lambda x: layer(x, mask=mask).out)(x + loud),
    )
    costs = []
    for row, length in enumerate(lengths):
        best = sorted(np.argsort(logits[row, :length])[-2:].tolist())
        near(ranked[row, :length], literal_depths(layer, x[row, :length], best))
        above = [t for t in range(length) if logits[row, t] > 0]
        near(signed[row, :length], literal_depths(layer, x[row, :length], above))
        shares = 1 / (1 + np.exp(-logits[row, :length]))
        costs += [-np.log(p if t in best else 1 - p) for t, p in enumerate(shares)]
    near(loss, 0.5 * np.mean(costs))
    assert {len([t for t in range(n) if logits[row, t] > 0]) for row, n in enumerate(lengths)} != {2}


def test_a_task_adds_the_losses_that_layers_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training, that is with dropout; with as much of both mixtures as cost 1 weighs."""
    x, dropout = tokens(), nn.Dropout(0.0, jax.random.key(0))

    class OfLayers(ModelTask[nnx.Module]):
        validation: Any = None

        def build(self, rngs: nnx.Rngs) -> nnx.Module:
            texts = "mixture_of_heads(cost=1.0)", "mixture_of_attention(cost=1.0)"
            return nnx.List([nn.make_attention(text, DIM, 4, rngs=rngs) for text in texts])

        def loss_of(self, model: Any, batch: Any, *, dropout: Any, hyper: Any) -> Any:
            for layer in model:
                layer(batch)
            return 2.0, {}

    for name in ("batch", "validate", "evaluate", "monitor"):
        monkeypatch.setattr(OfLayers, name, None, raising=False)
    monkeypatch.setattr(OfLayers, "__abstractmethods__", frozenset())
    task: Any = OfLayers()
    params = task.init(jax.random.key(0))
    heads, attention = task.model(params)
    (gate,) = heads.made.values()
    near(task.loss(params, x, dropout=None)[0], 2.0)
    near(task.loss(params, x, dropout=dropout)[0], 2 + gate.load(x) + attention.load(x))
