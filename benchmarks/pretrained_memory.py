"""Peak memory of loading a pretrained model, beside transformers': a new process for each case.

    python benchmarks/pretrained_memory.py [--layers N]

The model has Llama's shape, 768 wide; with 12 layers it has 134M parameters. What a process needs before it
loads is left out: the peak is what loading, and reading every parameter once, adds to it, over the bytes of
the parameters in the dtype asked for.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import RESULTS, machine
from _resident import kilobytes

from attnjax.pretrained.safetensors_file import Written, write_safetensors

DIM, HIDDEN, HEADS, VOCAB = 768, 2048, 12, 32000
CASES = (("float32", "float32"), ("bfloat16", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16"))
"""The dtype of the file, and that of the parameters."""


def made(folder: Path, layers: int, dtype: str, vocab: int) -> None:
    """Writes a model whose numbers are all the same."""
    import jax.numpy as jnp

    kept = np.dtype(jnp.dtype(dtype))
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocab, DIM),
        "model.norm.weight": (DIM,),
    }
    shapes["lm_head.weight"] = vocab, DIM
    for i in range(layers):
        layer = f"model.layers.{i}"
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": (DIM, DIM) for name in "qkvo"}
        shapes |= {f"{layer}.mlp.{name}_proj.weight": (HIDDEN, DIM) for name in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj.weight": (DIM, HIDDEN)}
        shapes |= {f"{layer}.{name}_layernorm.weight": (DIM,) for name in ("input", "post_attention")}
    folder.mkdir()
    tensors = [
        Written(name, kept, shape, functools.partial(np.full, shape, 0.5, kept))
        for name, shape in shapes.items()
    ]
    write_safetensors(folder / "model.safetensors", tensors)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": DIM,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "vocab_size": vocab,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
    }
    (folder / "config.json").write_text(json.dumps(config))


def load(library: str, folder: Path, dtype: str) -> dict[str, Any]:
    """Runs in a process of its own: what loading adds to it at the most, and what is left."""
    if library == "attnjax":
        import jax
        from flax import nnx

        from attnjax.pretrained import from_pretrained

        def run(place: Path) -> object:
            model = from_pretrained(place, dtype=dtype)
            return model, [
                float(np.asarray(x).ravel()[::1024].sum()) for x in jax.tree.leaves(nnx.state(model))
            ]
    else:
        import transformers

        def run(place: Path) -> object:
            model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=dtype)
            return model, [float(x.detach().flatten()[::1024].sum()) for x in model.parameters()]

    run(folder.parent / "tiny")  # What is imported and compiled once is no part of a model.
    Path("/proc/self/clear_refs").write_text("5")  # The peak counts from here.
    before, start = kilobytes("VmRSS"), time.perf_counter()
    model = run(folder)
    took = time.perf_counter() - start
    peak, after = kilobytes("VmHWM"), kilobytes("VmRSS")
    del model
    return {
        "peak_bytes": 1024 * (peak - before),
        "left_bytes": 1024 * (after - before),
        "seconds": round(took, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        library, folder, dtype = options.load
        print(json.dumps(load(library, Path(folder), dtype)))
        return
    about, rows = machine(("transformers", "torch")), []
    with tempfile.TemporaryDirectory() as place:
        for stored, asked in CASES:
            for name, layers, vocab in (("tiny", 1, 64), ("model", options.layers, VOCAB)):
                folder = Path(place) / f"{stored}" / name
                folder.parent.mkdir(exist_ok=True)
                if not folder.exists():
                    made(folder, layers, stored, vocab)
            size = (Path(place) / stored / "model" / "model.safetensors").stat().st_size
            target = size * {"float32": 4, "bfloat16": 2}[asked] // {"float32": 4, "bfloat16": 2}[stored]
            for library in ("attnjax", "transformers"):
                command = [
                    sys.executable,
                    __file__,
                    "--load",
                    library,
                    str(Path(place) / stored / "model"),
                    asked,
                ]
                found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                row = {
                    "library": library,
                    "file": stored,
                    "parameters": asked,
                    "target_bytes": target,
                    **found,
                }
                row["peak_over_target"] = round(row["peak_bytes"] / target, 3)
                rows.append(row)
                print(row, flush=True)
    content = {"benchmark": "pretrained-memory", "layers": options.layers, "cases": rows, "machine": about}
    file = RESULTS / "pretrained-memory.json"
    file.write_text(json.dumps(content, indent=2) + "\n")
    print(f"kept in {file}")


if __name__ == "__main__":
    main()
