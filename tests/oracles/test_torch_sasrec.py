"""SASRec against its formula in PyTorch: blocks x + f(LayerNorm(x)), scores by the shared embedding."""

from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from attnjax.models.recommender import Recommender
from attnjax.models.recommender_config import RecommenderConfig

torch = pytest.importorskip("torch")

CONFIG = RecommenderConfig(
    dim=12, heads=3, layers=2, hidden=12, positions="learned", max_length=7, activation="relu", norm_eps=1e-5
)


def tensor(x: Any) -> Any:
    return torch.tensor(np.asarray(x))


def sasrec(model: Any, items: np.ndarray) -> Any:
    """Kang & McAuley, 2018: section 3, with torch's own attention, norm and causal mask."""
    functional = torch.nn.functional
    table = tensor(model.table)
    x = table[items] * CONFIG.dim**0.5 + tensor(model.embedding.table.embedding[...])[: items.shape[1]]

    def norm(part: Any, x: Any) -> Any:
        return functional.layer_norm(x, x.shape[-1:], tensor(part.scale[...]), tensor(part.bias[...]), 1e-5)

    def project(part: Any, x: Any) -> Any:
        return (
            torch.einsum("btd,dnh->bnth", x, tensor(part.kernel[...])) + tensor(part.bias[...])[None, :, None]
        )

    for block in model.blocks:
        inner = norm(block.attention_residual.norm, x)
        query, key, value = (
            project(getattr(block.attention, name), inner) for name in ("query", "key", "value")
        )
        heads = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        out = block.attention.out
        x = x + torch.einsum("bnth,nhd->btd", heads, tensor(out.kernel[...])) + tensor(out.bias[...])
        inner = norm(block.feed_forward_residual.norm, x)
        up, down = block.feed_forward.up, block.feed_forward.down
        hidden = torch.relu(inner @ tensor(up.kernel[...]) + tensor(up.bias[...]))
        x = x + hidden @ tensor(down.kernel[...]) + tensor(down.bias[...])
    return norm(model.norm, x) @ table.T


def test_sasrec_is_its_formula_in_torch() -> None:
    model = Recommender(CONFIG, items=20, rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    new = [x + 0.2 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, new))
    items = np.random.default_rng(0).integers(0, 20, (3, 7))
    lengths = np.full(3, 7)
    states = jax.jit(lambda items: model(items, lengths=lengths).states)(items)
    np.testing.assert_allclose(states @ model.table.T, sasrec(model, items), rtol=1e-4, atol=1e-4)
