"""What a pair costs in blocks of each size: the table of attnjax/ops/engines/tuning.py.

    python benchmarks/tune.py [--rounds 5] [--length 4096]

Forward and backward of 8 heads of 64: all blocks visited, without a mask (FULL) and with a predicate that
allows every pair (PARTIAL), and under a window whose tiles make one block for each row (single). Prints lines
for the table, per pair that is computed, relative to the cheapest.
"""

import argparse
from functools import partial
from itertools import product
from typing import Any

import jax
from _measure import alternate, summary
from attention import timed, tokens

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.tuning import blocking_of

SIZES = (64, 128, 256, 512, 1024)
WIDTH = 512  # Keys of a single block, where they are not fewer than two blocks of queries.


def loss(*args: Any, mask: Any, block_q: int, block_k: int, span: int) -> Any:
    call = make_call(*args, mask=mask)
    return blockwise.run(call, blocking_of(call, block_q, block_k, span)).out.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=int, default=4096)
    options = parser.parse_args()
    everything = aj.sliding_window(10**6, 0) | aj.predicate(lambda b, h, i, j: i < 10**6)
    cases, pairs = {}, {}
    for block_q, block_k in product(SIZES, SIZES):
        if max(block_q, block_k) > 2 * min(block_q, block_k):
            continue
        width = max(WIDTH, 2 * block_q, block_k)
        window = aj.sliding_window(width - block_q, 0)
        span = width // block_k + (block_q % block_k > 0)
        kinds = {
            "full": (None, 1, options.length),
            "partial": (everything, 1, options.length),
            "single": (window, span, span * block_k),
        }
        for kind, (mask, span, keys) in kinds.items():
            one = partial(loss, mask=mask, block_q=block_q, block_k=block_k, span=span)
            name = f"{block_q} {block_k} {kind}"
            cases[name] = timed(jax.grad(one, argnums=(0, 1, 2)), *tokens(options.length))
            pairs[name] = options.length * keys
    rows = summary(alternate(cases, options.rounds))
    costs = {name: row["median_s"] / pairs[name] for name, row in rows.items()}
    for size in dict.fromkeys(name.rsplit(" ", 1)[0] for name in rows):
        shown = (f"{costs[f'{size} {kind}'] / min(costs.values()):.2f}" for kind in kinds)
        print(f"    Cost({size.replace(' ', ', ')}, {', '.join(shown)}),")


if __name__ == "__main__":
    main()
