"""Published figures of accelerators, and the time that they leave to a step at best. Free of jax.

A chip with a peak of F FLOP/s, memory of W byte/s and links of L byte/s takes for a step

    max(flops / F, traffic / W, wire / L)

of the FLOPs of its matrix products, the bytes that it reads and writes, and the bytes that it sends: none of
the three can be faster, and at best they overlap wholly. The share of F that the products use in that time is
the most that the MFU (model FLOPs utilisation) can be.

References:
  Williams et al., Roofline, 2009, doi:10.1145/1498765.1498785.
  Chowdhery et al., PaLM, 2022, arXiv:2204.02311 (MFU).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Limit = Literal["products", "memory", "links"]


@dataclass(frozen=True)
class Chip:
    """The published figures of one chip.

    Attributes:
      flops: dense products of bfloat16 per second.
      memory: bytes of HBM.
      bandwidth: bytes of HBM per second.
      links: bytes per second that a chip sends to others of its slice or node, which is half of what is
        published for both directions together.
      source: where the figures are published.
    """

    flops: float
    memory: float
    bandwidth: float
    links: float
    source: str


CHIPS = {
    "v5e": Chip(197e12, 16e9, 819e9, 200e9, "https://cloud.google.com/tpu/docs/v5e"),
    "v5p": Chip(459e12, 95e9, 2765e9, 300e9, "https://cloud.google.com/tpu/docs/v5p"),
    "v6e": Chip(918e12, 32e9, 1638e9, 400e9, "https://cloud.google.com/tpu/docs/v6e"),
    "H100": Chip(989.4e12, 80e9, 3.35e12, 450e9, "https://www.nvidia.com/en-us/data-center/h100/ (SXM)"),
    "H200": Chip(989.4e12, 141e9, 4.8e12, 450e9, "https://www.nvidia.com/en-us/data-center/h200/ (SXM)"),
}
"""The chips that plans are made for, by name."""


class Expected(NamedTuple):
    """The best that a step can do on chips of a kind.

    Attributes:
      fits: True if what a chip holds is no more than its memory.
      seconds: of a step, at least.
      mfu: the share of the peak of products, at most.
      limit: what takes these seconds.
    """

    fits: bool
    seconds: float
    mfu: float
    limit: Limit


def expected(chip: Chip, *, peak: float, flops: float, traffic: float, wire: float) -> Expected:
    """Returns the best that a step can do, by the formula above.

    Args:
      chip: one of those that share the step.
      peak: bytes that it holds at once.
      flops: of the products that it computes.
      traffic: bytes that it reads and writes.
      wire: bytes that it sends.

    Example:
      >>> expected(CHIPS["v5e"], peak=1e9, flops=197e9, traffic=1e9, wire=0)
      Expected(fits=True, seconds=0.001221001221001221, mfu=0.8190000000000001, limit='memory')
    """
    times: dict[Limit, float] = {
        "products": flops / chip.flops,
        "memory": traffic / chip.bandwidth,
        "links": wire / chip.links,
    }
    limit = max(times, key=lambda name: times[name])
    return Expected(peak <= chip.memory, times[limit], times["products"] / times[limit], limit)
