"""`attnjax pretrained`: what a folder holds, what transformers computes of it, and other formats."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from attnjax.cli.run_tables import aligned
from attnjax.config import require
from attnjax.runs.provenance import Notify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    actions = ("show", "verify", "convert")
    parser.add_argument("action", metavar="ACTION", choices=actions, help="show, verify or convert")
    what = "with config.json and model.safetensors; convert: with the model.bin of a Whisper of CTranslate2"
    parser.add_argument("folder", type=Path, metavar="DIR", help=what)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="convert: a new folder with Hugging Face's names"
    )
    boosted = "verify with weights drawn anew, so large that every part of the model shows in the result"
    parser.add_argument("--boosted", action="store_true", help=boosted)


def pretrained(options: argparse.Namespace, notify: Notify) -> int:
    """Shows a model and the names of its tensors, compares it with transformers, or converts it."""
    if "jax" not in sys.modules:  # Accelerators round products in other ways.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    require(not options.boosted or options.action == "verify", "--boosted: it is for verify")
    require(
        (options.out is None) == (options.action != "convert"),
        f"--out is {options.out}: expected a new folder with convert, none else",
    )
    if options.action == "convert":
        from attnjax.pretrained.ctranslate2 import convert_whisper

        convert_whisper(options.folder, options.out)
        return 0
    if options.action == "show":
        return _show(options.folder)
    return _verify(options.folder, boosted=options.boosted)


def _show(folder: Path) -> int:
    from attnjax.pretrained.folder import open_folder

    opened = open_folder(folder)
    config: Any = getattr(opened.model, "config")  # noqa: B009
    count = sum(int(tensor.size) for tensor in opened.tensors.values())
    size = sum(tensor.nbytes for tensor in opened.tensors.values())
    dtypes = ", ".join(sorted({tensor.dtype.name for tensor in opened.tensors.values()}))
    print(
        f"{opened.family.name}: {type(opened.model).__name__}, {count:,} numbers in {dtypes}, {size:,} bytes"
    )
    default = type(config)
    changed = {name: value for name, value in vars(config).items() if value != getattr(default, name, None)}
    print(" ".join(f"{name}={value}" for name, value in changed.items()))
    rows: dict[tuple[str, str, str], int] = {}
    for part in opened.parts:
        ours, disk = (re.sub(r"\.\d+\.", ".{i}.", name) for name in (part.entry.ours, part.entry.disk))
        row = ours, disk, str(list(part.shape))
        rows[row] = rows.get(row, 0) + 1
    shown = [(*row, str(layers) if layers > 1 else "") for row, layers in rows.items()]
    print(aligned([("parameter", "tensor on disk", "its shape", "layers"), *shown]))
    return 0


def _verify(folder: Path, *, boosted: bool) -> int:
    from attnjax.pretrained.verify import TOLERANCE, first_of, verify

    differences = verify(folder, boosted=boosted)
    first = first_of(differences)
    rows = []
    for found in differences:
        mark = "" if found.size <= TOLERANCE else "differs first" if found is first else "differs"
        rows.append((found.name, f"{found.size:.1e}", f"{found.largest:.3g}", mark))
    print(aligned([("", "largest difference", "of a largest value of", ""), *rows]))
    if first is None:
        print(f"equal to transformers: no difference above {TOLERANCE:.0e} of the largest value")
        return 0
    print(f"{first.name} is the first that differs, by {first.size:.1e} of the largest value")
    return 1
