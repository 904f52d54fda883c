"""What weights of eight bits cost and bring: the loss of a run's model, its size, and the speed of decoding.

    attnjax run language_model
    python benchmarks/int8.py RUN [--rounds 5] [--tokens 64]
    python benchmarks/int8.py                     # the speed alone

RUN is the id or the folder of a run whose task holds examples out: its loss on them is computed in float32
and with `in_int8`, and the bytes of both models are counted. Then a GPT-2 of 124M with random weights writes
64 tokens for one prompt and for eight, in float32 and in int8, alternating; ratios are to float32.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from _measure import alternate, machine, report, seconds, summary
from flax import nnx

from attnjax.experiment import registry
from attnjax.models import LanguageModel, LanguageModelConfig, generate, in_int8
from attnjax.runs.predict import trained_task
from attnjax.runs.sources import source_folder
from attnjax.runs.store import Run
from attnjax.tasks.base import AS_MADE

GPT2 = LanguageModelConfig(
    dim=768, heads=12, layers=12, hidden=3072, positions="learned", max_length=1024, tie_embeddings=True
)
PROMPT = 16
RUNS = Path(os.environ.get("ATTNJAX_RUNS", "runs"))


def size(model: Any) -> int:
    """Returns the bytes of a model."""
    return sum(x.nbytes for x in jax.tree.leaves(nnx.state(model)))


def losses(name: str) -> dict[str, float]:
    """Returns the loss of a run's model on what its task holds out, and its bytes, in float32 and int8."""
    registry.discover()
    task: Any
    task, params = trained_task(Run(source_folder(name, RUNS).resolve()))
    examples = task.held_out()
    found: dict[str, float] = {}
    for kind, model in {"float32": task.model(params), "int8": in_int8(task.model(params))}.items():
        read = nnx.jit(lambda model, examples: task.loss_of(model, examples, dropout=None, hyper=AS_MADE)[0])
        found |= {f"{kind} loss": float(read(model, examples)), f"{kind} bytes": size(model)}
    return found


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    about = machine()
    more: dict[str, Any] = {} if options.run is None else losses(options.run)
    print(more, flush=True)
    model = LanguageModel(GPT2, vocab=50_257, rngs=nnx.Rngs(0))
    models = {"float32": model, "int8": in_int8(model)}
    more |= {f"124M, {kind} bytes": size(model) for kind, model in models.items()}
    rows: dict[str, Any] = {}
    for batch in (1, 8):
        inputs, lengths = jnp.full((batch, PROMPT), 5), jnp.full(batch, PROMPT)

        def write(model: Any, inputs: Any = inputs, lengths: Any = lengths) -> Any:
            found = generate(model, inputs, lengths, eos=[], pad=0, max_length=options.tokens)
            return found.tokens.block_until_ready()

        cases = {
            f"{kind} ×{batch}": lambda m=m, write=write: seconds(lambda: write(m))
            for kind, m in models.items()
        }
        for case in cases.values():
            case()
        rows |= summary(alternate(cases, options.rounds), f"float32 ×{batch}")
    report("int8", rows, about, "seconds of a whole call; ratio to float32", more)


if __name__ == "__main__":
    main()
