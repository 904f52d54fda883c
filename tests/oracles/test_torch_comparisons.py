"""Comparisons against torch's modules and distances, and OpenNMT's scorers as its code has them: float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops import comparisons
from tests.daily import swept
from tests.oracles.oracle_support import ENGINES, assert_close

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
functional = torch.nn.functional

T, S, H = 9, 11, 6


def draw(seed, *shape):
    return 3 * np.random.default_rng(seed).normal(size=shape)


def pairs(query, key):
    """Both for all pairs: [T, S, H]."""
    return query[:, None].expand(T, S, H), key[None].expand(T, S, H)


def bilinear(query, key, weight, bias):
    module = torch.nn.Bilinear(H, H, 1, dtype=torch.float64)
    parameters = {"weight": weight[None], "bias": bias[None]}
    return torch.func.functional_call(module, parameters, pairs(query, key))[..., 0]


def mlp(query, key, v, query_weight, key_weight):
    """GlobalAttention.score of OpenNMT-py with attn_type "mlp"."""
    wq, uh = (query @ query_weight)[:, None].expand(T, S, -1), (key @ key_weight)[None].expand(T, S, -1)
    return functional.linear(torch.tanh(wq + uh), v[None])[..., 0]


PEERS = {
    "dot": (lambda q, k: torch.mm(q, k.T), ()),
    "general": (lambda q, k, w: torch.mm(functional.linear(q, w.T), k.T), (draw(0, H, H),)),
    "concat": (mlp, (draw(1, 8), draw(2, H, 8), draw(3, H, 8))),
    "bilinear": (bilinear, (draw(4, H, H), draw(5))),
    "cosine": (lambda q, k, t: functional.cosine_similarity(*pairs(q, k), dim=-1) / t, (np.array(0.3),)),
    "l2": (lambda q, k: -(torch.cdist(q, k) ** 2) / H**0.5, ()),
    "rbf": (lambda q, k, gamma: -gamma * torch.cdist(q, k) ** 2, (np.array(0.2),)),
    "linear_combination": (
        lambda q, k, w: torch.cat([*pairs(q, k), q[:, None] * k], -1) @ w,
        (draw(6, 3 * H),),
    ),
}


@pytest.mark.parametrize(("name", "engine"), swept(PEERS, "concat", ENGINES))
def test_values_and_gradients_are_those_of_torch(name, engine):
    score, parameters = PEERS[name]
    inputs = [draw(7, T, H), draw(8, S, H), draw(9, S, 4), *parameters]
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in inputs]
    query, key, value, *own = tensors
    causal = torch.ones(T, S, dtype=torch.bool).tril(2)
    scores = score(query, key, *own).masked_fill(~causal, -torch.inf)
    out = torch.softmax(scores, -1) @ value
    torch.sin(out).sum().backward()

    @jax.jit
    def both(planted, query, key, value, *own):
        def loss(query, key, value, *own):
            comparison = getattr(comparisons, name)(*own)
            heads = (x[:, None] for x in (query, planted * key, value))
            out = aj.attention(*heads, comparison=comparison, mask=aj.causal(2), implementation=engine)[:, 0]
            return jnp.sum(jnp.sin(out)), out

        return jax.value_and_grad(loss, argnums=range(len(inputs)), has_aux=True)(query, key, value, *own)

    (_, got), gradients = both(1.0, *inputs)
    assert_close(np.asarray(got), out.detach().numpy())
    for gradient, tensor in zip(gradients, tensors, strict=True):
        assert_close(np.asarray(gradient), tensor.grad.numpy())
    (_, got), _ = both(-1.0, *inputs)
    with pytest.raises(AssertionError):
        assert_close(np.asarray(got), out.detach().numpy())
