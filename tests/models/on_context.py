"""Decoding with a cache whose slots lie on eight devices, beside one device, in a process of its own.

`python -m tests.models.on_context MODEL…` compares the tokens that models emit, and prints of each how many
bytes of its cache a device holds of all, and by what collectives the devices meet in a step.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig, Transformer, TransformerConfig, beams, generate
from attnjax.models.decoding.sampling import sampling
from attnjax.runs.planning.collectives import collectives

DEVICES, VOCAB = 8, 17
SMALL: dict[str, Any] = {"dim": 16, "heads": 4, "hidden": 24, "dtype": "float64", "param_dtype": "float64"}


def language_model(**changes: Any) -> LanguageModel:
    return LanguageModel(LanguageModelConfig(**SMALL, layers=1, **changes), vocab=VOCAB, rngs=nnx.Rngs(0))


def encoder_decoder() -> Transformer:
    config = TransformerConfig(**SMALL, encoder_layers=1, decoder_layers=1)
    return Transformer(config, source_vocab=VOCAB, target_vocab=VOCAB, rngs=nnx.Rngs(0))


MODELS = {
    "multi-query": lambda: language_model(kv_heads=1),
    "rotated": lambda: language_model(positions="rope"),
    "windowed": lambda: language_model(mechanism="window(size=3)"),
    "sparsemax": lambda: language_model(mechanism="sparsemax"),
    "encoder-decoder": encoder_decoder,
}
"""All attend their own slots, which all-reduces join, but sparsemax, for which the compiler gathers rows.

The tokens of the rotated one are drawn, those of the others found by beams."""


def emitted(model: Any, drawn: bool = False) -> np.ndarray:
    """Prompts of lengths that 8 devices do not divide, with what the model writes after them."""
    prompts = jax.random.randint(jax.random.key(1), (3, 9), 3, VOCAB)
    strategy = sampling(temperature=2.0) if drawn else beams(2)
    options: dict[str, Any] = {"eos": 2, "pad": 0, "max_length": 7, "bos": 1, "strategy": strategy}
    found = generate(
        model, prompts, jnp.array([9, 4, 6]), **options, key=jax.random.key(2) if drawn else None
    )
    return np.asarray(found.tokens)


def held(cache: Any) -> str:
    """The bytes of keys and values, and the most that a device holds of them, from live buffers."""
    slots = [x for x in jax.tree.leaves(cache) if x.ndim == 4]
    most = max(sum(x.addressable_shards[i].data.nbytes for x in slots) for i in range(DEVICES))
    return f"{most} of {sum(x.nbytes for x in slots)} bytes"


def main(names: list[str]) -> None:
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_enable_x64", True)
    mesh = jax.make_mesh((DEVICES,), ("context",), axis_types=(jax.sharding.AxisType.Auto,))
    for name in names:
        model = MODELS[name]()
        graph, state = nnx.split(model)
        drawn = name == "rotated"
        whole = emitted(model, drawn)
        with jax.set_mesh(mesh):
            model = nnx.merge(graph, jax.device_put(state, jax.sharding.NamedSharding(mesh, jax.P())))
            split = emitted(model, drawn)
            prompts, lengths = jnp.ones((2, 16), int), jnp.array([9, 4])

            @jax.jit
            def begun(state: Any, graph: Any = graph, prompts: Any = prompts, lengths: Any = lengths) -> Any:
                return nnx.merge(graph, state).start(prompts, lengths, bos=jnp.int32(1), room=6)

            @jax.jit
            def step(state: Any, last: Any, cache: Any, graph: Any = graph) -> Any:
                return nnx.merge(graph, state).extend(last[:, None], cache)

            last, cache = begun(nnx.state(model))
            given = nnx.state(model), last, cache
            compiled = step.lower(*given).compile()
            _, cache, _ = compiled(*given)
        assert (whole == split).all(), (name, whole, split)
        kinds = [one.kind for one in collectives(compiled.as_text())]
        print(f"{name}: {held(cache)}, {' '.join(kinds)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
