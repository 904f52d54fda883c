"""The options that say where a sweep is computed."""

import argparse
import functools
from collections.abc import Callable
from typing import Any

from attnjax.config import require
from attnjax.runs.start import Notify
from attnjax.runs.working_copy import shown
from attnjax.sweeps.launch import Launch, LocalLauncher

Prepare = Callable[[argparse.ArgumentParser], None]
Call = Callable[[argparse.Namespace, Notify], int]


def with_launcher(prepare: Prepare) -> Prepare:
    """The options of a command, and these."""

    def both(parser: argparse.ArgumentParser) -> None:
        prepare(parser)
        group = parser.add_argument_group("where to run it")
        group.add_argument("--launcher", choices=("local", "ray"), default="local", help="default: local")
        group.add_argument("--address", help="of a Ray cluster (default: one of this machine's cores)")
        text = "of a pack on Ray: CPU=4, GPU=1, TPU=4 … (default: CPU=1); else jax uses the CPU"
        group.add_argument("--resources", nargs="+", metavar="NAME=N", type=_resource, help=text)

    return both


def launching(call: Call) -> Call:
    """A command whose `options.launch` is what these options name."""

    @functools.wraps(call)
    def run(options: argparse.Namespace, notify: Notify) -> int:
        options.launch = _chosen(options)
        return call(options, notify)

    return run


def _chosen(options: argparse.Namespace) -> Launch:
    if options.launcher == "local":
        for flag in ("address", "resources"):
            require(getattr(options, flag) is None, f"--{flag} is for --launcher ray")
        return LocalLauncher
    from attnjax.sweeps.on_ray import RayLauncher

    require(
        options.address is None or shown(options.runs) == str(options.runs),
        f"--address with --runs {shown(options.runs)}: expected a folder that every node sees",
    )
    resources = dict(options.resources or [("CPU", 1.0)])
    return functools.partial(RayLauncher, address=options.address, resources=resources)


def _resource(text: str) -> tuple[str, Any]:
    name, _, amount = text.partition("=")
    try:
        found = float(amount)
    except ValueError:
        found = 0.0
    if not name or not found > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=N with N above 0, such as GPU=1")
    return name, found
