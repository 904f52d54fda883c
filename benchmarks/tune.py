"""What a pair costs in blocks of each size: the table of attnjax/ops/engines/tuning.py.

    python benchmarks/tune.py [--rounds 5] [--length 4096]

Forward and backward of 8 heads of 64, all blocks visited: without a mask (FULL), and with a predicate that
allows every pair (PARTIAL). Prints lines for the table, relative to the cheapest.
"""

import argparse
from functools import partial
from itertools import product
from typing import Any

import jax
from _measure import alternate, summary
from attention import timed, tokens

import attnjax as aj
from attnjax.ops.arguments import make_problem
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.tuning import blocking_of

SIZES = (128, 256, 512, 1024)


def loss(*args: Any, mask: Any, block_q: int, block_k: int) -> Any:
    problem = make_problem(*args, mask=mask)
    return blockwise.run(problem, blocking_of(problem, block_q, block_k)).out.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=int, default=4096)
    options = parser.parse_args()
    masks = {
        "full": None,
        "partial": aj.sliding_window(10**6, 0) | aj.predicate(lambda b, h, i, j: i < 10**6),
    }
    cases = {}
    for block_q, block_k in product(SIZES, SIZES):
        if max(block_q, block_k) > 2 * min(block_q, block_k):
            continue
        for kind, mask in masks.items():
            one = partial(loss, mask=mask, block_q=block_q, block_k=block_k)
            cases[f"{block_q} {block_k} {kind}"] = timed(
                jax.grad(one, argnums=(0, 1, 2)), *tokens(options.length)
            )
    rows = summary(alternate(cases, options.rounds))
    cheapest = min(row["median_s"] for row in rows.values())
    for size in dict.fromkeys(name.rsplit(" ", 1)[0] for name in rows):
        full, masked = (rows[f"{size} {kind}"]["median_s"] / cheapest for kind in masks)
        print(f"    Cost({size.replace(' ', ', ')}, {full:.2f}, {masked:.2f}),")


if __name__ == "__main__":
    main()
