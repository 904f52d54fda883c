"""What the gated delta rule costs by length, beside transformers' torch code and our softmax attention.

    python benchmarks/linear.py [--rounds 5] [--only peer lengths softmax decoding chunks members]

float32, batch 1, 8 heads of 64. Forward, and forward with the gradients of all inputs. PyTorch runs in a
process of its own with as many threads as there are cores; all take turns, round by round, and the second of
two calls counts. Beside PyTorch, heads are spread over as many devices as there are cores, as `attnjax` uses
them: on one device, which is all that the other work has, XLA computes the small products of chunks on one
core. A ratio is the median over rounds of ours to that round's peer: below 1 we are faster.
"""

import argparse
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import alternate, machine, report, summary
from _torch_peer import TorchPeer
from attention import timed
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import attnjax as aj
from attnjax import linear

HEADS, SIZE, DECODED = 8, 64, 64
LENGTHS = tuple(1024 * 2**i for i in range(7))
Cases = dict[str, Callable[[], float]]


def tokens(length: int) -> list[jax.Array]:
    """Queries, unit keys, values, log-decays and strengths, as the torch peer draws them."""
    keys = jax.random.split(jax.random.key(0), 5)
    query, key, value = (jax.random.normal(k, (1, length, HEADS, SIZE)) for k in keys[:3])
    key /= jnp.linalg.norm(key, axis=-1, keepdims=True)
    decay = -jax.nn.softplus(jax.random.normal(keys[3], (1, length, HEADS)))
    return [query, key, value, decay, jax.random.uniform(keys[4], (1, length, HEADS))]


def gated_delta(query: Any, key: Any, value: Any, decay: Any, strength: Any, **options: Any) -> Any:
    erase = jnp.exp(decay)[..., None] * key
    return aj.linear_attention(query, strength[..., None] * key, value, decay=decay, erase=erase, **options)


def softmax(query: Any, key: Any, value: Any, *_: Any) -> Any:
    return aj.attention(query, key, value, mask=aj.causal())


def directions(attend: Callable[..., jax.Array], inputs: int = 5) -> dict[str, Callable[..., Any]]:
    """The forward pass, and the forward pass with the gradients of so many inputs."""
    return {"forward": attend, "both": jax.grad(lambda *x: attend(*x).sum(), argnums=range(inputs))}


def peer_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """T = 4096 against the chunk form of transformers."""
    if torch is None:
        return {}
    spec = {"kind": "gated_delta", "batch": 1, "heads": HEADS, "size": SIZE, "length": 4096}
    mesh = Mesh(np.array(jax.devices()), ("heads",))
    heads = NamedSharding(mesh, PartitionSpec(None, None, "heads"))
    work: dict[str, Cases] = {}
    for direction, fn in directions(gated_delta).items():
        asked = spec | {"backward": direction == "both"}
        work[f"T=4096 {direction}"] = {
            "transformers": functools.partial(torch.seconds, asked),
            "ours": timed(fn, *jax.device_put(tokens(4096), heads)),
            "ours, one device": timed(fn, *tokens(4096)),
        }
    return work


def length_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """Time by length: linear if the ratio to the first is the lengths'."""
    return {
        f"by length {direction}": {f"T={n // 1024}k": timed(fn, *tokens(n)) for n in LENGTHS}
        for direction, fn in directions(gated_delta).items()
    }


def softmax_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """Where the lines cross: the same tokens under causal softmax attention."""
    return {
        f"T={n // 1024}k {direction}": {
            "softmax": timed(directions(softmax, 3)[direction], *tokens(n)),
            "gated delta": timed(directions(gated_delta)[direction], *tokens(n)),
        }
        for direction in ("forward", "both")
        for n in LENGTHS[:5]
    }


def decoding_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """Tokens one by one, each reading the state that a context has left."""

    def decode(state: Any, *args: Any) -> Any:
        def step(state: Any, token: Any) -> tuple[Any, Any]:
            out, state = gated_delta(*token, initial_state=state, return_state=True)
            return state, out

        return jax.lax.scan(step, state, [jnp.moveaxis(x, 1, 0)[:, :, None] for x in args])

    cases: Cases = {}
    for context in (1024, 16384, 65536):
        state = jax.jit(functools.partial(gated_delta, return_state=True))(*tokens(context))[1]
        cases[f"after {context // 1024}k"] = timed(decode, state, *tokens(DECODED))
    return {f"{DECODED} tokens decoded": cases}


def chunk_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """The default size of chunks against others; 48 tokens fill three chunks of 16."""
    return {
        f"chunks T={length} {direction}": {
            f"of {size}": timed(
                directions(functools.partial(gated_delta, chunk_size=size))[direction], *tokens(length)
            )
            for size in sizes
        }
        for length, sizes in {48: (16, 32, 8), 4096: (32, 16, 64, 128)}.items()
        for direction in ("forward", "both")
    }


def member_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """Members that decay by channel, and two that only decay by head, beside Gated DeltaNet."""
    query, key, value, decay, strength = tokens(2048)
    by_channel = decay[..., None] * jnp.linspace(0.02, 1.0, SIZE)
    rates = jnp.broadcast_to(strength[..., None], key.shape)
    gates: dict[str, dict[str, Any]] = {
        "gated_delta_net": {"decay": decay, "strength": strength},
        "gla": {"decay": by_channel},
        "kda": {"decay": by_channel, "strength": strength},
        "rwkv7": {"decay": by_channel, "removal": key, "learning_rate": rates},
        "simple_gla": {"decay": decay},
        "retention": {},
    }

    def made(name: str, direction: str) -> Callable[[], float]:
        member = functools.partial(getattr(linear, name), **gates[name])
        return timed(directions(member, 3)[direction], query, key, value)

    return {
        f"members T=2048 {direction}": {name: made(name, direction) for name in gates}
        for direction in ("forward", "both")
    }


WORK = {
    "peer": peer_work,
    "lengths": length_work,
    "softmax": softmax_work,
    "decoding": decoding_work,
    "chunks": chunk_work,
    "members": member_work,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=WORK, default=[*WORK])
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    has_peer = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    about = machine(("torch", "transformers") if has_peer else ())
    torch = TorchPeer(len(os.sched_getaffinity(0))) if has_peer else None
    table: dict[str, dict[str, Any]] = {}
    for group in options.only:
        for name, cases in WORK[group](torch).items():
            print(name, file=sys.stderr)
            rows = summary(alternate(cases, options.rounds, calls=2), baseline=next(iter(cases)))
            table |= {f"{name}: {who}": row for who, row in rows.items()}
    if torch:
        torch.close()
    name = "linear" if options.only == [*WORK] else f"linear-{'-'.join(options.only)}"
    report(name, table, about, "ratio: to the first case of the same work")


if __name__ == "__main__":
    main()
