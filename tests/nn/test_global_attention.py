"""Global attention of recurrent decoders is eole's, whose numbers `eole_global_attention.py` has written."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.mechanisms import read
from attnjax.nn.classic.global_attention import GlobalAttention

SEEN = np.load(Path(__file__).with_name("eole_global_attention.npz"))
PLACES = {
    "general": {"made.general.weight": lambda w: w["linear_in.weight"].T},
    "mlp": {
        "query.kernel": lambda w: w["linear_query.weight"].T,
        "query.bias": lambda w: w["linear_query.bias"],
        "key.kernel": lambda w: w["linear_context.weight"].T,
        "made.additive.v": lambda w: w["v.weight"],
    },
}
"""The place of each of eole's parameters, as (in, out)."""


@pytest.mark.parametrize(("kind", "mechanism"), [("dot", "dot"), ("general", "general"), ("mlp", "additive")])
def test_weights_and_what_the_decoder_goes_on_with_are_those_of_eole(kind: str, mechanism: str) -> None:
    weights = {name.removeprefix(f"{kind}."): SEEN[name] for name in SEEN.files if name.startswith(kind)}
    states, memory, there = SEEN["states"], SEEN["memory"], ~SEEN["padding"][:, 0]
    with jax.enable_x64(True):
        choice = read(mechanism)[0]
        layer = GlobalAttention(states.shape[-1], choice, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        graphdef, params = nnx.split(layer, nnx.Param)
        flat = dict(nnx.to_flat_state(params))
        for path, value in flat.items():
            own = PLACES[kind][".".join(map(str, path))](weights)
            flat[path] = value.replace(jnp.asarray(own).reshape(value[...].shape))
        layer = nnx.merge(graphdef, nnx.from_flat_state(list(flat.items())))
        found = layer(jnp.asarray(states), jnp.asarray(memory), mask=jnp.asarray(there))
        np.testing.assert_allclose(found.weights[:, 0], weights["weights"], atol=1e-12)
        joined = np.concatenate([found.out, states], axis=-1) @ weights["linear_out.weight"].T
    # eole adds a bias to what mlp gives and goes on with it as it is.
    given = joined + weights["linear_out.bias"] if kind == "mlp" else np.tanh(joined)
    np.testing.assert_allclose(given, weights["out"], atol=1e-12)
