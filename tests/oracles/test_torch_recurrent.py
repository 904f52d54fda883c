"""LSTM and GRU against PyTorch's modules with our weights, both ways, over sequences of unequal lengths."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn.cells import CELLS
from tests.nn.moved import moved

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")

B, S, INPUTS, D = 3, 6, 5, 4
LENGTHS = np.array([6, 4, 1])


def tensor(x: Any) -> Any:
    return torch.tensor(np.asarray(x, np.float64))


@pytest.mark.parametrize("kind", CELLS)
def test_both_directions_are_those_of_torch(kind: str) -> None:
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](
        INPUTS, D, batch_first=True, bidirectional=True, dtype=torch.float64
    )
    x = np.random.default_rng(0).normal(size=(B, S, INPUTS))
    inside = np.arange(S) < LENGTHS[:, None]
    ours = []
    for reverse, suffix in ((False, ""), (True, "_reverse")):
        cell = CELLS[kind](INPUTS, D, param_dtype=jnp.float64, rngs=nnx.Rngs(int(reverse)))
        graphdef, params, p = moved(cell)
        own = nnx.merge(graphdef, params)
        ours.append(jax.jit(lambda x, own=own, reverse=reverse: own.read(x, inside, reverse=reverse))(x))
        hidden = p["of_state"].get("bias", np.zeros_like(p["of_input"]["bias"]))
        weights = {
            "weight_ih_l0": p["of_input"]["kernel"].T,
            "weight_hh_l0": p["of_state"]["kernel"].T,
            "bias_ih_l0": p["of_input"]["bias"],
            "bias_hh_l0": hidden,
        }
        for name, value in weights.items():
            getattr(peer, name + suffix).data = tensor(value)
    packed = torch.nn.utils.rnn.pack_padded_sequence(tensor(x), LENGTHS, batch_first=True)
    expected = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)[0].detach().numpy()
    both = np.where(inside[..., None], np.concatenate(ours, axis=-1), 0)
    np.testing.assert_allclose(both, expected, rtol=1e-10, atol=1e-12)
