"""Peak memory of loading GPT-2 and decoding, beside transformers': a new process for each case.

    python benchmarks/decoding_memory.py [--tokens 128] [--threads 2]

The model has GPT-2's shape, 124M parameters with random values; one prompt of 16 tokens is continued,
greedily. Cases, for each dtype of the file and of the parameters:

    attnjax               `generate` with the model of `from_pretrained`
    transformers          `model.generate`. The ratios' baseline.

A peak is that of all that is resident in a process from its start to its end: Python, libraries, weights,
what is compiled, and pages of mapped files, in which transformers keeps weights that need no other dtype.
Beside it stands what was resident after the imports, which neither library can go below. Nothing comes from
a cache of compiled programs. About 3 minutes, 6 beside other work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _generate_peer import write_folder
from _measure import RESULTS, machine
from pretrained_memory import CASES

CASE = Path(__file__).with_name("_decoding_case.py")
LIBRARIES = ("transformers", "attnjax")
GOAL = 0.7


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    about, rows = machine(("transformers", "torch")) | {"threads": options.threads}, []
    environment = {name: x for name, x in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    limits = [str(options.tokens), str(options.threads)]
    with tempfile.TemporaryDirectory() as place:
        for stored, asked in CASES:
            folder = str(Path(place) / stored)
            if not Path(folder).exists():
                write_folder("gpt2-124M", folder, stored)
            peaks: dict[str, int] = {}
            for library in LIBRARIES:
                command = [sys.executable, str(CASE), library, folder, asked, *limits]
                printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
                found = json.loads(printed)
                peaks[library] = found["peak_bytes"]
                ratio = round(peaks[library] / peaks["transformers"], 3)
                row = {"library": library, "file": stored, "parameters": asked, **found, "ratio": ratio}
                rows.append(row)
                mebibytes = {name.removesuffix("_bytes"): round(size / 2**20) for name, size in found.items()}
                print(f"{stored} as {asked}, {library}: {mebibytes} MiB, {ratio} (goal: {GOAL})", flush=True)
    content = {"benchmark": "decoding-memory", "tokens": options.tokens, "cases": rows, "machine": about}
    file = RESULTS / "decoding-memory.json"
    file.write_text(json.dumps(content, indent=2) + "\n")
    print(f"kept in {file}")


if __name__ == "__main__":
    main()
