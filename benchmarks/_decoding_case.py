"""A model is loaded and decodes, in a process that imports what this needs and nothing else.

python benchmarks/_decoding_case.py LIBRARY FOLDER DTYPE TOKENS THREADS
"""

import json
import os
import sys
from typing import Any

from _generate_peer import generation
from _resident import kilobytes

PROMPT = 16


def decode(library: str, folder: str, dtype: str, tokens: int, threads: int) -> dict[str, int]:
    """Returns the bytes that are resident after the imports, at the end, and at the most."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    if library == "transformers":
        import torch
        from transformers import AutoModelForCausalLM, GPT2LMHeadModel  # noqa: F401

        torch.set_num_threads(threads)
        imported = kilobytes("VmRSS")
        generation({"folder": folder, "dtype": dtype, "batch": 1, "prompt": PROMPT, "tokens": tokens})()
    else:
        import jax.numpy as jnp

        from attnjax.models import generate
        from attnjax.pretrained import from_pretrained

        imported = kilobytes("VmRSS")
        model: Any = from_pretrained(folder, dtype=dtype)
        given = jnp.full((1, PROMPT), 5), jnp.full(1, PROMPT)
        generate(model, *given, eos=[], pad=0, max_length=tokens).tokens.block_until_ready()
    sizes = {"imports": imported, "left": kilobytes("VmRSS"), "peak": kilobytes("VmHWM")}
    return {f"{name}_bytes": 1024 * size for name, size in sizes.items()}


if __name__ == "__main__":
    _, library, folder, dtype, tokens, threads = sys.argv
    print(json.dumps(decode(library, folder, dtype, int(tokens), int(threads))))
