"""`attnjax mask`: its arguments and what it does. Free of jax until it runs, as the command line must be."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from attnjax.cli.outputs import require_output
from attnjax.config import InputError, require


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    example = '"causal() & (sliding_window(256, 0) | global_tokens([0]))"'
    parser.add_argument("mask", metavar="MASK", help=f"masks joined by & | ~ and parentheses: {example}")
    for name, metavar, default, text in (
        ("--length", "T", None, "queries"),
        ("--keys", "S", None, "keys (default: as many as queries)"),
        ("--block-q", "N", None, "queries in a block (default: what attention chooses)"),
        ("--block-k", "N", None, "keys in a block (default: what attention chooses)"),
        ("--heads", "N", 1, "heads (default: 1)"),
        ("--batch", "B", 1, "batch elements, for a mask with a value for each (default: 1)"),
    ):
        required = name == "--length"
        parser.add_argument(name, type=int, metavar=metavar, default=default, help=text, required=required)
    picture = "also write the map as a picture, whose name ends in .png, .svg or .pdf (default: no picture)"
    parser.add_argument("--output", type=Path, metavar="FILE", help=picture)


def show(options: argparse.Namespace, notify: Callable[[str], None]) -> int:
    """Draws the blocks of a mask that attention computes, and counts them."""
    for name in ("length", "keys", "block_q", "block_k", "heads", "batch"):
        value = getattr(options, name)
        option = name.replace("_", "-")
        require(value is None or value >= 1, f"--{option} is {value}: expected a whole number, 1 or more")
    if options.output is not None:
        require_output("--output", options.output, ".png", ".svg", ".pdf")
    if "jax" not in sys.modules:  # A picture needs no accelerator, which a running training may hold.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from attnjax.explain.masks.block_map import block_map
    from attnjax.explain.masks.drawing import picture, report
    from attnjax.explain.masks.expression import read_mask
    from attnjax.ops.core.pairs import Sizes

    mask = read_mask(options.mask)
    sizes = Sizes((options.batch,), options.heads, options.length, options.keys or options.length)
    try:
        drawn = block_map(mask, sizes, options.block_q, options.block_k)
    except ValueError as error:
        hint = "" if options.batch > 1 or "(*B" not in str(error) else "; --batch sets the batch axes"
        raise InputError(f"the mask does not fit: {error}{hint}") from None
    if options.output is not None:
        _write(options.output, picture(options.mask, drawn, options.output.suffix[1:].lower()))
    print(report(options.mask, drawn, shutil.get_terminal_size().columns))
    if options.output is not None:
        print(f"\npicture: {options.output}")
    return 0


def _write(path: Path, picture: bytes) -> None:
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}") from None
