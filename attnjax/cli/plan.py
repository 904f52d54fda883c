"""`attnjax plan`: its arguments and what it prints. Free of jax until it runs."""

import argparse
import json
import os
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from attnjax.cli.machines import device_argument
from attnjax.cli.runs import configured, experiment_arguments
from attnjax.runs.placement import place, wish_of
from attnjax.runs.start import Notify

if TYPE_CHECKING:
    from attnjax.runs.planning.plan import ArrayPlan, StepPlan

_UNITS = ("B", "kB", "MB", "GB", "TB")
_NUMBERS = ("parameters", "optimiser", "bytes", "times", "sent by a device", "a step", "MFU")
"""Heads of columns that stand on the right."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax plan`."""
    experiment_arguments(parser)
    device_argument(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, with every array by itself"
    )


def plan(options: argparse.Namespace, notify: Notify) -> int:
    """Prints what a training would take of devices, which need not be there: memory, collectives, time."""
    _, config = configured(options)
    if "jax" not in sys.modules:
        # Devices are described: those of this machine, which a training may hold, are left alone.
        os.environ["JAX_PLATFORMS"] = "cpu"
        # XLA's warnings on how it splits arrays are paragraphs; who wants them sets it to 0.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from attnjax.runs.devices import start_jax
    from attnjax.runs.planning.plan import plan_training
    from attnjax.runs.sources import task_of

    wish = wish_of(config, devices=options.devices, mesh=options.mesh, rules=options.rules)
    start_jax(wish.count)
    placement = place(config, wish, None, notify)
    found = plan_training(task_of(config), config, placement)
    for line in found.whole:
        notify(line)
    if options.json:
        record = asdict(found) | {"expected": {name: of._asdict() for name, of in found.expected.items()}}
        print(json.dumps(record))
        return 0
    _print(options.experiment, found)
    return 0


def _print(experiment: str, found: "StepPlan") -> None:
    from attnjax.runs.planning.chips import CHIPS

    devices = f"{found.devices} device{'s' if found.devices > 1 else ''}"
    print(f"{experiment} on {devices}: mesh {found.mesh}, rules {found.rules}")
    totals = [sum(getattr(array, part) for array in found.arrays) for part in ("parameter", "optimizer")]
    _table(
        ("arrays, of which a device holds", "", "", "parameters", "optimiser", "split over"),
        [
            *(
                (name, kind, shape, _size(own), _size(kept), split)
                for name, kind, shape, split, own, kept in _together(found.arrays)
            ),
            ("all", f"{found.parameters:,} parameters", "", *map(_size, totals), ""),
        ],
    )
    memory = found.memory
    _table(
        ("memory of a device", "", "bytes"),
        [
            ("state", "parameters and what the optimiser keeps", _size(memory.state)),
            ("batches", f"of the {found.steps} steps of a dispatch", _size(memory.batches)),
            ("temporary", "activations, gradients", _size(memory.temporary)),
            ("results", "metrics", _size(memory.results)),
            ("peak", "all of it", _size(memory.peak)),
        ],
    )
    _table(
        ("collectives of a step", "times", "bytes", "sent by a device"),
        [(one.kind, f"{one.count:.4g}", _size(one.size), _size(one.wire)) for one in found.collectives]
        or [("none", "", "", "")],
    )
    print(f"\na step: {found.flops:.4g} FLOPs of products; a device reads and writes {_size(found.traffic)}")
    _table(
        ("at best", "peak fits", "a step", "MFU", "limited by"),
        [
            (
                f"{found.devices} × {name}",
                f"{'yes' if of.fits else 'NO'}, of {_size(CHIPS[name].memory)}",
                _time(of.seconds),
                f"{of.mfu:.1%}",
                of.limit,
            )
            for name, of in found.expected.items()
        ],
    )


def _together(arrays: "tuple[ArrayPlan, ...]") -> list[tuple[str, str, str, str, int, int]]:
    """Returns name, dtype, shape, split and bytes of arrays, those of equal layers in one line."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for array in arrays:
        like = (re.sub(r"(?<=\.)\d+(?=\.)", "*", array.name), array.shape, array.dtype, array.split)
        sums = found.setdefault(like, [0, 0, 0])
        for i, more in enumerate((1, array.parameter, array.optimizer)):
            sums[i] += more
    lines = []
    for (name, shape, dtype, split), (count, own, kept) in found.items():
        kind = f"{count} × {dtype}" if count > 1 else dtype
        axes = ", ".join("-" if axis is None else str(axis) for axis in split)
        lines.append((name, kind, str(list(shape)) if dtype else "", axes if any(split) else "", own, kept))
    return lines


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints rows below a head."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    print()
    for line in lines:
        cells = [
            line[i].rjust(widths[i]) if head[i] in _NUMBERS else line[i].ljust(widths[i])
            for i in range(len(head))
        ]
        print("  ".join(cells).rstrip())


def _size(count: float) -> str:
    """Returns a number of bytes for people.

    >>> _size(999), _size(16e9), _size(1234567)
    ('999 B', '16 GB', '1.23 MB')
    """
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g} {_UNITS[unit]}"


def _time(seconds: float) -> str:
    """Returns seconds for people.

    >>> _time(2.5), _time(0.25), _time(3.48e-6)
    ('2.5 s', '250 ms', '3.48 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
