"""What sparse attention costs beside our own dense causal engine, and from which length on it pays.

    python benchmarks/catalogue.py CASE … [--rounds 5] [--length 16384] [--least 256] [--most 16384]

float32, batch 1, 4 heads of 64; forward with the gradients of query, key and value. A case of one mechanism
takes turns with dense attention, causal where the mechanism is, at one length: a ratio is the median over
rounds of its time to that round's dense time. `crossover` doubles the length until the mechanism wins twice
in a row, or says that it never did. `additive` is additive attention at T = S = 1024 beside its arithmetic,
one head of 64: a ratio is to the T·S·H tanh of the same round. results/catalogue.json keeps all figures; a
later run replaces those of its cases.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _additive import beside_arithmetic
from _measure import RESULTS, alternate, machine, report, seconds, summary

import attnjax as aj
from attnjax.nn.attention.recipes import bigbird, longformer, strided
from attnjax.ops import sparse

HEADS, SIZE = 4, 64
ADDITIVE_LENGTH = 1024
Attend = Callable[..., jax.Array]


def dense(q: Any, k: Any, v: Any) -> jax.Array:
    return aj.attention(q, k, v, mask=aj.causal())


def window(q: Any, k: Any, v: Any) -> jax.Array:
    return aj.attention(q, k, v, mask=aj.sliding_window(511, 0))


def big_bird(q: Any, k: Any, v: Any) -> jax.Array:
    length = q.shape[-3]
    mask = bigbird(64, near=1, count=3, first=1, seed=0, queries=length, keys=length)
    return aj.attention(q, k, v, mask=aj.causal() & mask)


def moba(q: Any, k: Any, v: Any) -> jax.Array:
    """Blocks of 512, of which a query and head sees 3, as in the paper's study of scaling."""
    index = sparse.moba_blocks(q, k, 512, 3)
    return aj.attention(q, k, v, mask=aj.causal() & aj.chosen_blocks(index, (1, 512), distinct=True))


def nsa(q: Any, k: Any, v: Any) -> jax.Array:
    """Blocks of 64, of which all heads see 16, a window of 512, and means in the place of learned vectors.

    One key head, as in a group of grouped-query attention: the paper's has 16 query heads.
    """
    length, blocks = q.shape[-3], q.shape[-3] // 64
    short = [x.reshape(*x.shape[:-3], blocks, 64, *x.shape[-2:]).mean(-3) for x in (k, v)]
    ends = jnp.arange(1, blocks + 1) * 64 - 1
    past = aj.relabel(aj.causal(), jnp.arange(length), ends)
    weights = aj.attention_weights(*jax.lax.stop_gradient((q, short[0])), mask=past)
    index = sparse.nsa_blocks(weights, 16, key_heads=k.shape[-2], size=64)
    chosen = aj.causal() & aj.chosen_blocks(index, (1, 64), distinct=True)
    parts = (aj.attention(q, *short, mask=past), aj.attention(q, k, v, mask=chosen), window(q, k, v))
    return sum(parts) / 3  # type: ignore[return-value]


def dsa(q: Any, k: Any, v: Any) -> jax.Array:
    """512 keys for all heads, ranked by an indexer of 4 heads of 32. One key head, as with latent keys."""
    query, key, gain = (q[..., :32], k[..., 0, :32], jnp.ones(q.shape[:-1]))
    index = sparse.dsa_tokens(query, key, gain, 512)
    return aj.attention(q, k, v, mask=aj.causal() & aj.chosen_blocks(index, (1, 1), distinct=True))


def masked(mask: aj.Mask) -> Attend:
    return lambda q, k, v: aj.attention(q, k, v, mask=mask)


def in_buckets(query_buckets: jax.Array, key_buckets: jax.Array) -> aj.Mask:
    """The last 64 keys of a query's bucket, as in the layers of LSH and routing."""
    return aj.causal() & aj.chosen_blocks(sparse.bucket_tokens(query_buckets, key_buckets, 64), (1, 1))


def lsh(q: Any, k: Any, v: Any) -> jax.Array:
    """16 buckets, two rounds."""
    rotations = jax.random.normal(jax.random.key(1), (SIZE, 2, 8))
    own, keys = (sparse.lsh_buckets(x, rotations) for x in (q, k))
    return aj.attention(q, k, v, mask=in_buckets(own, keys))


def routing(q: Any, k: Any, v: Any) -> jax.Array:
    """16 centroids."""
    centroids = jax.random.normal(jax.random.key(1), (16, SIZE))
    own, keys = (sparse.nearest_centroids(x, centroids) for x in (q, k))
    return aj.attention(q, k, v, mask=in_buckets(own, keys))


def linformer(q: Any, k: Any, v: Any) -> jax.Array:
    """Keys and values mapped to 256 along the length."""
    length = k.shape[-3]
    maps = jax.random.normal(jax.random.key(1), (2, 256, length)) / length**0.5
    return aj.attention(q, *(jnp.einsum("ms,bsnh->bmnh", m, x) for m, x in zip(maps, (k, v), strict=True)))


def nystrom(q: Any, k: Any, v: Any) -> jax.Array:
    return sparse.nystrom_attention(q, k, v, 64)


CASES: dict[str, tuple[Attend, int, float | None]] = {
    "window": (window, HEADS, 0.15),
    "bigbird": (big_bird, HEADS, 0.15),
    "moba": (moba, HEADS, 0.35),
    "nsa": (nsa, 1, 0.35),
    "dsa": (dsa, 1, 0.35),
    "longformer": (masked(longformer(512, 16)), HEADS, None),
    "strided": (masked(strided(128)), HEADS, None),
    "lsh": (lsh, HEADS, None),
    "routing": (routing, HEADS, None),
    "linformer": (linformer, HEADS, None),
    "nystrom": (nystrom, HEADS, None),
}
"""The attention of each case, its key heads, and the ratio that is its goal, where it has one."""
TWO_SIDED = ("linformer", "nystrom")
"""Cases in which every token sees all: they are compared with dense attention that does too."""


def timed(attend: Attend, length: int, key_heads: int) -> Callable[[], float]:
    """A case that computes the output and all gradients."""
    keys = jax.random.split(jax.random.key(0), 3)
    args = [
        jax.random.normal(key, (1, length, heads, SIZE))
        for key, heads in zip(keys, (HEADS, key_heads, key_heads), strict=True)
    ]
    run = jax.jit(jax.value_and_grad(lambda *x: jnp.sum(attend(*x) ** 2), argnums=(0, 1, 2)))
    jax.block_until_ready(run(*args))
    return lambda: seconds(lambda: jax.block_until_ready(run(*args)))


def beside_dense(name: str, length: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Both at one length."""
    attend, key_heads, _ = CASES[name]
    whole: Attend = aj.attention if name in TWO_SIDED else dense
    cases = {"dense": timed(whole, length, key_heads), name: timed(attend, length, key_heads)}
    return summary(alternate(cases, rounds), baseline="dense")


def crossover(name: str, rounds: int, least: int, most: int) -> dict[str, Any]:
    """The first of the lengths that double from which on it is faster than dense attention, or None."""
    ratios: dict[int, float] = {}
    length = least
    while length <= most:
        ratios[length] = beside_dense(name, length, rounds)[name]["ratio"]
        won = [n for n in ratios if ratios[n] < 1]
        if len(won) >= 2 and won[-1] == length and won[-2] == length // 2:
            break
        length *= 2
    wins = [n for n in ratios if all(ratios[m] < 1 for m in ratios if m >= n)]
    return {"from": min(wins, default=None), "measured_to": max(ratios), "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "cases", nargs="+", choices=[*CASES, "additive", *(f"crossover:{name}" for name in CASES)]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=int, default=16384)
    parser.add_argument("--least", type=int, default=256)
    parser.add_argument("--most", type=int, default=16384)
    options = parser.parse_args()
    about = machine()
    kept = RESULTS / "catalogue.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    table, crossed = before.get("cases", {}), before.get("crossover", {})
    for case in options.cases:
        if case == "additive":
            rows = beside_arithmetic(options.rounds, ADDITIVE_LENGTH, SIZE)
            table |= {f"additive T={ADDITIVE_LENGTH}: {who}": row for who, row in rows.items()}
            continue
        kind, _, name = case.rpartition(":")
        if kind:
            crossed[name] = crossover(name, options.rounds, options.least, options.most)
            print(f"{name} is faster from {crossed[name]}")
        else:
            rows = beside_dense(name, options.length, options.rounds)
            if CASES[name][2] is not None:
                rows[name]["goal"] = CASES[name][2]
            table |= {f"{name} T={options.length}: {who}": row for who, row in rows.items()}
    note = "forward and backward; ratio: to dense attention (additive: T·S·H tanh) of the same round"
    report("catalogue", table, about, note, {"crossover": crossed})


if __name__ == "__main__":
    main()
