"""Against transformers' own torch code, which computes in float32: gated delta rule, Mamba-2's scan."""

import jax
import numpy as np
import pytest

import attnjax as aj
from tests.daily import daily

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
gated_delta = pytest.importorskip(
    "transformers.models.qwen3_next.modeling_qwen3_next",
    reason="transformers is not installed (extra: oracles)",
)
mamba = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")

B, T, N, H, V = 2, 75, 3, 8, 5
OURS = {
    "recurrent": {"form": "recurrent"},
    "chunks of 16": {"chunk_size": 16},
    "chunks of 64": {"chunk_size": 64},
}
PEERS = {"chunk": "torch_chunk_gated_delta_rule", "recurrent": "torch_recurrent_gated_delta_rule"}


def draw(seed=0):
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(2, B, T, N, H))
    key /= np.linalg.norm(key, axis=-1, keepdims=True)
    args = (
        query,
        key,
        rng.normal(size=(B, T, N, V)),
        -rng.exponential(size=(B, T, N)),
        rng.random((B, T, N)),
    )
    return tuple(x.astype(np.float32) for x in (*args, rng.normal(size=(B, N, H, V))))


def gated_delta_net(query, key, value, decay, beta, state, **form):
    erase = jax.numpy.exp(decay)[..., None] * key
    return aj.linear_attention(
        query,
        beta[..., None] * key,
        value,
        decay=decay,
        erase=erase,
        initial_state=state,
        return_state=True,
        **form,
    )


def torch_gated_delta_net(name, query, key, value, decay, beta, state):
    peer = getattr(gated_delta, PEERS[name])
    return peer(query, key, value, g=decay, beta=beta, initial_state=state, output_final_state=True)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("ours", OURS)
def test_gated_delta_rule_output_and_state(ours, peer):
    args = draw()
    expected = torch_gated_delta_net(peer, *map(torch.tensor, args))
    for got, theirs in zip(gated_delta_net(*args, **OURS[ours]), expected, strict=True):
        np.testing.assert_allclose(got, theirs.numpy(), atol=2e-5)


@pytest.mark.parametrize("peer", daily(PEERS, list(PEERS)[-1:]))
def test_gated_delta_rule_gradients(peer):
    args = draw()
    weights = np.random.default_rng(1).normal(size=(B, T, N, V)).astype(np.float32)
    tensors = [torch.tensor(x, requires_grad=True) for x in args]
    out, state = torch_gated_delta_net(peer, *tensors)
    expected = torch.autograd.grad((out * torch.tensor(weights)).sum() + state.sum(), tensors)

    def loss(*args):
        out, state = gated_delta_net(*args, chunk_size=16)
        return (out * weights).sum() + state.sum()

    for got, theirs in zip(jax.grad(loss, argnums=range(6))(*args), expected, strict=True):
        np.testing.assert_allclose(got, theirs.numpy(), atol=1e-4)


@pytest.mark.parametrize("ours", OURS)
def test_mamba_2(ours):
    """Inputs of a step dt are dt·x, A is negative: decay dt·A; B and C are key and query of all heads."""
    rng = np.random.default_rng(3)
    x, dt = rng.normal(size=(B, T, N, V)), rng.random((B, T, N))
    slope = -np.exp(rng.normal(size=N))
    written, read = rng.normal(size=(2, B, T, 1, H))
    x, dt, slope, written, read = (a.astype(np.float32) for a in (x, dt, slope, written, read))
    expected, last = mamba.mamba2_chunk_scan(
        *map(torch.tensor, (x, dt, slope, written, read)), chunk_size=32, return_final_states=True
    )
    key, query = (np.broadcast_to(a, (B, T, N, H)) for a in (written, read))
    out, state = aj.linear_attention(
        query, key, dt[..., None] * x, decay=dt * slope, scale=1.0, return_state=True, **OURS[ours]
    )
    np.testing.assert_allclose(out, expected.numpy(), atol=2e-4)
    np.testing.assert_allclose(np.swapaxes(state, -1, -2), last.numpy(), atol=2e-5)
