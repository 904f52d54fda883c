"""How long a deep language model compiles, with its layers one by one and in one loop.

    python benchmarks/depth.py [--layers 4 32] [--unrolled]

For the gradient of a loss and for a whole training step (AdamW) of a model of width 64: seconds of the
processors for tracing, lowering and compiling, without a cache, once each. `deepest / shallowest` is their
ratio with `model.scan_layers`; `--unrolled` measures the layers one by one too. About 2 minutes of one core,
and 5 with `--unrolled`.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
from _measure import machine, report, summary
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.nn import Dropout
from attnjax.train.config import TrainConfig
from attnjax.train.state import init_state
from attnjax.train.step import make_train_step, traced_values

TOKENS = jax.ShapeDtypeStruct((8, 64), jnp.int32)
TRAIN = TrainConfig(steps=4, batch_size=8, warmup_steps=0)


def program(layers: int, scan: bool, whole: bool) -> tuple[Any, tuple[Any, ...]]:
    """Returns a jitted gradient, or a whole step, and the shapes of its arguments."""
    config = LanguageModelConfig(dim=64, layers=layers, scan_layers=scan)
    graph, state = nnx.split(nnx.eval_shape(lambda: LanguageModel(config, vocab=256, rngs=nnx.Rngs(0))))
    params, key = nnx.to_pure_dict(state), jax.eval_shape(lambda: jax.random.key(0))

    def loss(params: Any, batch: Any, *, dropout: Dropout, hyper: Any) -> Any:
        logits = nnx.merge(graph, params)(batch["tokens"], dropout=dropout).logits
        value = jnp.mean(jax.nn.logsumexp(logits, -1) - logits[..., 0])
        return value, {"loss": value, "weight": jnp.float32(2)}

    if whole:
        shapes = jax.eval_shape(lambda params: init_state(params, TRAIN), params)
        traced = jax.eval_shape(lambda: traced_values(TRAIN, {}))
        return jax.jit(make_train_step(loss, TRAIN), donate_argnums=0), (
            shapes,
            {"tokens": TOKENS},
            traced,
            key,
        )

    def slope(params: Any, tokens: Any, key: Any) -> Any:
        def value(params: Any) -> Any:
            return loss(params, {"tokens": tokens}, dropout=Dropout(0.1, key), hyper=None)[0]

        return jax.value_and_grad(value)(params)

    return jax.jit(slope), (params, TOKENS, key)


def seconds(layers: int, scan: bool, whole: bool) -> float:
    """Returns the seconds of the processors from tracing to the compiled program."""
    jitted, shapes = program(layers, scan, whole)
    began = time.process_time()
    jitted.lower(*shapes).compile()
    return time.process_time() - began


def main() -> None:
    """Measures and writes results/depth.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--unrolled", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    seconds(1, True, False)  # Whatever is done once.
    about, times, ratios = machine(), dict[str, list[float]](), dict[str, float]()
    for whole in (False, True):
        for scan in (True, False) if options.unrolled else (True,):
            name = f"{'step' if whole else 'gradient'}, {'one loop' if scan else 'one by one'}"
            own = {layers: seconds(layers, scan, whole) for layers in options.layers}
            times |= {f"{name}, {layers} layers": [taken] for layers, taken in own.items()}
            ratios[name] = round(own[max(own)] / own[min(own)], 2)
            print(f"{name}: deepest / shallowest {ratios[name]}", flush=True)
    report("depth", summary(times), about, more={"deepest / shallowest": ratios})


if __name__ == "__main__":
    main()
