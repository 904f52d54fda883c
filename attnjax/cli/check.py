"""`attnjax check`: whether a mechanism keeps its promises. Free of jax until it runs."""

import argparse
import os
import sys

from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.mechanisms import read
from attnjax.runs.provenance import Notify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "mechanism",
        metavar="MECHANISM",
        help="as a config names it: gla, 'window(size=4) & entmax', your own",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="CHECK", help="these checks (default: all), such as future decoding"
    )


def check(options: argparse.Namespace, notify: Notify) -> int:
    """Measures whether a mechanism keeps its promises: no leaks, right gradients, decoding, cost."""
    registry.discover(options.experiments)
    read(options.mechanism)  # A slip of the keyboard is told before jax is loaded.
    if "jax" not in sys.modules:  # In float64, which accelerators lack or compute slowly.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from rich.console import Console
    from rich.table import Table

    from attnjax.testing import CHECKS, conformance

    if unknown := sorted(set(options.only or ()) - set(CHECKS)):
        raise InputError(f"--only {unknown[0]!r}: expected some of {', '.join(CHECKS)}")
    console = Console(stderr=True)
    with console.status("") as status:
        report = conformance(
            options.mechanism,
            checks=options.only,
            progress=lambda name: status.update(f"{name}: {CHECKS[name].meaning}"),
        )
    shown = Table(title=options.mechanism, title_justify="left")
    for column in ("check", "verdict", "largest difference", "bound", "what was compared"):
        shown.add_column(column)
    for found in report.findings:
        value = "" if found.value is None else f"{found.value:.1e}"
        bound = "" if found.verdict == "not applicable" else f"{found.bound:.0e}"
        shown.add_row(
            found.check, found.verdict, value, bound, f"{CHECKS[found.check].meaning}\n{found.where}"
        )
    Console().print(shown)
    return 1 if report.failed else 0
