"""Parameters of torch's modules and the tokens that those and ours are given."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")

D, N, K, H, T = 16, 4, 2, 8, 7
SIZES = {"hidden_size": D, "num_attention_heads": N, "num_key_value_heads": K, "num_hidden_layers": 1}


def drawn(module: Any) -> dict[str, np.ndarray]:
    """The module's parameters, drawn anew, as arrays."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.4)
    return {name: x.detach().numpy().astype(np.float32) for name, x in module.named_parameters()}


def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, T, D)).astype(np.float32)


def put(part: Any, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
    """Copies a matrix [out, in] of torch and its bias into a projection of ours."""
    part.kernel[...] = jnp.asarray(weight.T.reshape(part.kernel.shape))
    assert (part.bias is None) == (bias is None)
    if bias is not None:
        part.bias[...] = jnp.asarray(bias.reshape(part.bias.shape))
