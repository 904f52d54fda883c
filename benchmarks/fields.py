"""What attention in graphs and images costs beside PyTorch on the CPU.

    python benchmarks/fields.py [gat] [swin] [--rounds 5]

float32. `gat`: a layer of 4 heads of 16 on 100 000 nodes and a million edges, sorted by the node that reads,
beside gathers and scatters of PyTorch. `swin`: a shifted block of the first stage of Swin-T on 4 images
(56×56, 96 channels, 3 heads, windows of 7), beside that of transformers. Each forward, and forward with the
gradients of inputs and parameters. A ratio is the median over rounds of our time to theirs of that round.
All figures are kept in results/fields.json, where a later run replaces those of its cases.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from _measure import RESULTS, alternate, machine, report, seconds, summary
from flax import nnx

from attnjax.nn import FeedForward, Residual, make_attention, make_norm

Case = Callable[[], float]


def ours(call: Callable[..., jax.Array], *args: Any) -> dict[str, Case]:
    """Our cases: forward, and with gradients of all arguments."""
    forward = jax.jit(call)
    both = jax.jit(jax.grad(lambda *x: jnp.sum(call(*x) ** 2), argnums=tuple(range(len(args)))))
    for run in (forward, both):
        jax.block_until_ready(run(*args))
    return {
        "forward": lambda: seconds(lambda: jax.block_until_ready(forward(*args))),
        "gradients": lambda: seconds(lambda: jax.block_until_ready(both(*args))),
    }


def theirs(call: Callable[[], Any], leaves: list[Any]) -> dict[str, Case]:
    """The cases of PyTorch."""

    def forward() -> None:
        with torch.no_grad():
            call()

    def both() -> None:
        for leaf in leaves:
            leaf.grad = None
        (call() ** 2).sum().backward()

    forward()
    both()
    return {"forward": lambda: seconds(forward), "gradients": lambda: seconds(both)}


def gat() -> tuple[dict[str, Case], dict[str, Case]]:
    nodes, count, heads, dim = 100_000, 1_000_000, 4, 64
    draw = np.random.default_rng(0)
    edges = np.stack([draw.integers(0, nodes, count), np.sort(draw.integers(0, nodes, count))]).astype(
        np.int32
    )
    x = draw.normal(size=(nodes, dim)).astype(np.float32)
    layer = make_attention("gat", dim, heads, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(layer, nnx.Param)
    given = jnp.asarray(edges)

    def call(params: Any, x: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, params)(x, given, is_sorted=True).out

    plain = jax.tree.map(lambda y: torch.tensor(np.asarray(y)).requires_grad_(), nnx.to_pure_dict(params))
    kernel, vectors = plain["node"]["kernel"], plain["vectors"]
    tokens = torch.tensor(x).requires_grad_()
    source, target = torch.tensor(edges).long()

    def peer() -> Any:
        h = (tokens @ kernel.reshape(dim, -1)).view(nodes, heads, -1)
        scores = (h * vectors["of_source"]).sum(-1)[source] + (h * vectors["of_target"]).sum(-1)[target]
        scores = torch.nn.functional.leaky_relu(scores, 0.2)
        index = target[:, None].expand(-1, heads)
        most = torch.full((nodes, heads), -torch.inf).scatter_reduce(0, index, scores.detach(), "amax")
        powers = (scores - most[target]).exp()
        total = torch.zeros(nodes, heads).index_add(0, target, powers)
        weighed = (powers / total[target])[..., None] * h[source]
        read = torch.zeros(nodes, heads, dim // heads).index_add(0, target, weighed)
        return read.view(nodes, dim) + plain["bias"]

    np.testing.assert_allclose(call(params, jnp.asarray(x)), peer().detach().numpy(), atol=1e-4)
    leaves = [tokens, kernel, *vectors.values(), plain["bias"]]
    return ours(call, params, jnp.asarray(x)), theirs(peer, leaves)


class Block(nnx.Module):
    """A block of Swin."""

    def __init__(self, dim: int, heads: int, rngs: nnx.Rngs) -> None:
        self.windows = make_attention("swin_window(size=7, shift=3)", dim, heads, rngs=rngs)
        self.feed_forward = FeedForward(dim, 4 * dim, rngs=rngs)
        self.first, self.second = (Residual(make_norm("layer", dim, rngs=rngs), "pre") for _ in range(2))

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.first.leave(x, self.windows(self.first.enter(x)).out, None)
        return self.second.leave(x, self.feed_forward(self.second.enter(x)), None)


def swin() -> tuple[dict[str, Case], dict[str, Case]]:
    from transformers.models.swin.modeling_swin import SwinConfig, SwinLayer

    dim, heads, side = 96, 3, 56
    graphdef, params = nnx.split(Block(dim, heads, nnx.Rngs(0)), nnx.Param)
    options: dict[str, Any] = {"hidden_act": "gelu_pytorch_tanh", "attn_implementation": "sdpa"}
    peer = SwinLayer(SwinConfig(window_size=7, **options), dim, (side, side), heads, shift_size=3).eval()
    x = np.random.default_rng(0).normal(size=(4, side, side, dim)).astype(np.float32)
    tokens = torch.tensor(x.reshape(4, side * side, dim)).requires_grad_()
    call = lambda params, x: nnx.merge(graphdef, params)(x)  # noqa: E731
    run = lambda: peer(tokens, (side, side))[0]  # noqa: E731
    return ours(call, params, jnp.asarray(x)), theirs(run, [tokens, *peer.parameters()])


CASES = {"gat": (gat, 1.0), "swin": (swin, 0.9)}
"""Each case, and the ratio that is its goal."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    about, kept = machine(), RESULTS / "fields.json"
    table = json.loads(kept.read_text()).get("cases", {}) if kept.exists() else {}
    for name in options.cases or CASES:
        make, goal = CASES[name]
        own, peer = make()
        for part in own:
            cases = {"attnjax": own[part], "torch": peer[part]}
            rows = summary(alternate(cases, options.rounds, 2), "torch")
            rows["attnjax"]["goal"] = goal
            table |= {f"{name} {part}: {who}": row for who, row in rows.items()}
    report("fields", table, about, "ratio: our time to that of PyTorch in the same round")


if __name__ == "__main__":
    main()
