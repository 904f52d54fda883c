"""How long a deep language model compiles, with its layers one by one and in one loop.

    python benchmarks/depth.py [--layers 4 32] [--unrolled]
    python benchmarks/depth.py --programs "initial state" --name depth_initial

For the gradient of a loss and for a whole training step (AdamW) of a model of width 64, and for its initial
state where that is asked for: seconds of the processors for tracing, lowering and compiling, without a cache,
once each, and the number of lines of what XLA is given. `deepest / shallowest` is the ratio of the seconds
with `model.scan_layers`; `--unrolled` measures the layers one by one too. About 100 seconds of one core.
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
PROGRAMS = ("gradient", "step", "initial state")
TRAIN = TrainConfig(steps=4, batch_size=8, warmup_steps=0)


def program(layers: int, scan: bool, what: str) -> tuple[Any, tuple[Any, ...]]:
    """Returns a jitted program and the shapes of its arguments."""
    config = LanguageModelConfig(dim=64, layers=layers, scan_layers=scan)
    graph, state = nnx.split(nnx.eval_shape(lambda: LanguageModel(config, vocab=256, rngs=nnx.Rngs(0))))
    params, key = nnx.to_pure_dict(state), jax.eval_shape(lambda: jax.random.key(0))

    def begin(key: Any) -> Any:
        model = LanguageModel(config, vocab=256, rngs=nnx.Rngs(key))
        return init_state(nnx.to_pure_dict(nnx.state(model)), TRAIN)

    def loss(params: Any, batch: Any, *, dropout: Dropout, hyper: Any) -> Any:
        logits = nnx.merge(graph, params)(batch["tokens"], dropout=dropout).logits
        value = jnp.mean(jax.nn.logsumexp(logits, -1) - logits[..., 0])
        return value, {"loss": value, "weight": jnp.float32(2)}

    if what == "initial state":
        return jax.jit(begin), (key,)
    if what == "step":
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


def compiled(layers: int, scan: bool, what: str) -> tuple[float, int]:
    """Returns the seconds of the processors from tracing to the compiled program, and the lines of it."""
    jitted, shapes = program(layers, scan, what)
    began = time.process_time()
    lowered = jitted.lower(*shapes)
    lowered.compile()
    return time.process_time() - began, lowered.as_text().count("\n")


def main() -> None:
    """Measures and writes results/NAME.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--unrolled", action="store_true")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS[:2])
    parser.add_argument("--name", default="depth", help="of the file in results/")
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    compiled(1, True, "gradient")  # Whatever is done once.
    about, times, ratios = machine(), dict[str, list[float]](), dict[str, float]()
    lines: dict[str, list[int]] = {}
    for what in options.programs:
        for scan in (True, False) if options.unrolled else (True,):
            name = f"{what}, {'one loop' if scan else 'one by one'}"
            own = {layers: compiled(layers, scan, what) for layers in sorted(options.layers)}
            times |= {f"{name}, {layers} layers": [taken] for layers, (taken, _) in own.items()}
            lines[name] = [length for _, length in own.values()]
            ratios[name] = round(own[max(own)][0] / own[min(own)][0], 2)
            print(f"{name}: deepest / shallowest {ratios[name]}, lines {lines[name]}", flush=True)
    report(options.name, summary(times), about, more={"deepest / shallowest": ratios, "lines": lines})


if __name__ == "__main__":
    main()
