"""The collectives of a compiled program, read from its text."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_OPERATION = re.compile(
    r"^\s*(?:ROOT )?%?[\w.\-]+ = (.+?) "
    r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)(?:-start)?\("
)
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_LISTED, _IOTA = re.compile(r"replica_groups=\{\{([\d,]*)\}"), re.compile(r"replica_groups=\[\d+,(\d+)\]")
_CALLS = re.compile(r"(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_PARTITIONS = re.compile(r"num_partitions=(\d+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclass(frozen=True)
class Collective:
    """The collectives of a kind.

    Attributes:
      kind: as XLA calls them, "all-reduce".
      count: how often devices meet.
      size: bytes of their results on a device.
      wire: bytes that a device sends, in rings: of n devices, 2·(n − 1)/n times the size of an all-reduce and
        (n − 1)/n times the whole of other arrays.
    """

    kind: str
    count: float
    size: float
    wire: float


def collectives(text: str, steps: int = 1) -> list[Collective]:
    """Returns the collectives of one of the steps that a program runs, by kind.

    Args:
      text: of the compiled program, as `compiled.as_text()` gives it. A loop counts as often as it runs where
        XLA knows that, else once; branches count together.
      steps: of training that the program runs.

    Example:
      >>> collectives('''ENTRY %main (p: f32[8]) -> f32[8] {
      ...   %r = f32[8]{0} all-reduce(%p), replica_groups=[1,4]<=[4], to_apply=%add
      ... }''')
      [Collective(kind='all-reduce', count=1.0, size=32.0, wire=48.0)]
    """
    lines, entry = _computations(text)
    everybody = _PARTITIONS.search(text)
    devices = int(everybody[1]) if everybody else 1
    times: dict[str, int] = defaultdict(int)
    _walk(entry, 1, lines, times)
    totals: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0])
    for name, runs in times.items():
        for line in lines[name]:
            if found := _OPERATION.match(line):
                size = sum(_bytes(*array) for array in _ARRAY.findall(found[1]))
                of = (runs, runs * size, runs * _wire(found[2], size, _group(line) or devices))
                totals[found[2]] = [a + b for a, b in zip(totals[found[2]], of, strict=True)]
    return [Collective(kind, *(total / steps for total in of)) for kind, of in sorted(totals.items())]


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Returns the lines of each computation, and the name of the one where the program begins."""
    lines: dict[str, list[str]] = {}
    entry = current = ""
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            current = found[2]
            entry = current if found[1] else entry
            lines[current] = []
        elif current:
            lines[current].append(line)
    return lines, entry


def _walk(name: str, runs: int, lines: dict[str, list[str]], times: dict[str, int]) -> None:
    """Counts how often each computation runs that this one calls."""
    times[name] += runs
    for line in lines[name]:
        trips = _TRIPS.search(line)
        for called in _called(line):
            if called in lines:
                _walk(called, runs * (int(trips[1]) if trips else 1), lines, times)


def _called(line: str) -> Iterator[str]:
    yield from _CALLS.findall(line)
    if branches := _BRANCHES.search(line):
        yield from (name.strip().lstrip("%") for name in branches[1].split(","))


def _bytes(dtype: str, shape: str) -> int:
    bits = 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
    return math.prod(int(length) for length in shape.split(",") if length) * bits // 8


def _group(line: str) -> int:
    """Returns the number of devices that meet; 0 where these are all."""
    if found := _IOTA.search(line):
        return int(found[1])
    found = _LISTED.search(line)
    return len(found[1].split(",")) if found else 0


def _wire(kind: str, size: int, devices: int) -> float:
    share = (devices - 1) / devices
    match kind:
        case "all-reduce":
            return 2 * share * size
        case "reduce-scatter":
            return share * size * devices
        case "collective-permute":
            return size
        case _:
            return share * size
