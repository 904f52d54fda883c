"""Attention and recurrences over 8 CPU devices against the same on one, in float64.

python -m tests.ops.context.on_devices CHECK [NAME…] [+ CHECK [NAME…]]…
"""

import functools
import inspect
import itertools
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnjax as aj
from attnjax.ops.core.primitives import jaxprs_in_params
from tests.ops.context import cases
from tests.ops.linear.member_cases import MEMBERS, draw

AUTO = jax.sharding.AxisType.Auto


def close(got: Any, expected: Any) -> None:
    def same(a: Any, b: Any) -> None:
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

    jax.tree.map(same, got, expected)


def mesh_of(shards: int) -> jax.sharding.Mesh:
    return jax.make_mesh((8 // shards, shards), ("data", "context"), axis_types=(AUTO, AUTO))


def over(shards: int, strategy: str | None, order: str = "contiguous") -> Callable[..., Any]:
    """Returns attention over so many devices, of tokens in their own order."""
    mesh = mesh_of(shards)

    def attend(query: Any, key: Any, value: Any, **given: Any) -> Any:
        run = {"mesh": mesh, "strategy": strategy, "order": order}
        if order == "contiguous":
            return aj.context_attention(query, key, value, **run, **given)
        dealt = (aj.to_zigzag(x, shards, -3) for x in (query, key, value))
        found = aj.context_attention(*dealt, **run, **given)
        if not isinstance(found, tuple):
            return aj.from_zigzag(found, shards, -3)
        out, *rows = found
        return (aj.from_zigzag(out, shards, -3), *(aj.from_zigzag(x, shards, -1) for x in rows))

    return attend


def learned(given: dict[str, Any]) -> tuple[list[Any], Callable[[list[Any]], dict[str, Any]]]:
    """Returns the floats of scores, biases and the like, and what makes options of others in their place."""
    known = {name: given[name] for name in ("mask", "dropout_rate", "dropout_key") if name in given}
    leaves, tree = jax.tree.flatten({name: x for name, x in given.items() if name not in known})
    is_float = [hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]

    def rebuilt(floats: list[Any]) -> dict[str, Any]:
        moving = iter(floats)
        own = [next(moving) if f else x for x, f in zip(leaves, is_float, strict=True)]
        return {**known, **jax.tree.unflatten(tree, own)}

    return [x for x, f in zip(leaves, is_float, strict=True) if f], rebuilt


def differentiated(attend: Callable[..., Any], args: Any, given: dict[str, Any]) -> Any:
    """Returns out, lse where there is one, and the gradients of a loss of both, to scores and biases too."""
    floats, rebuilt = learned(given)
    online = type(given.get("normalizer", aj.softmax())).__name__ == "Softmax"

    def loss(args: Any, floats: Any) -> Any:
        found = attend(*args, **rebuilt(floats), return_lse=online)
        out, lse = found if online else (found, jnp.zeros(()))
        kept = jnp.where(jnp.isneginf(lse), 0, jnp.cos(lse))
        return jnp.sum(jnp.sin(out)) + jnp.sum(kept), (out, lse)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(args, floats)


def compare(attend: Callable[..., Any], args: Any, given: dict[str, Any], *, gradients: bool) -> None:
    if gradients:
        close(differentiated(attend, args, given), differentiated(aj.attention, args, given))
    else:
        close(*(jax.jit(lambda *a, fn=fn: fn(*a, **given))(*args) for fn in (attend, aj.attention)))


FAILED: list[str] = []


def tried(name: str, check: Callable[..., None], *args: Any, **options: Any) -> None:
    """Runs a check; what fails is shown, and the others run too."""
    try:
        check(*args, **options)
    except Exception as error:
        FAILED.append(name)
        print(f"{name}: {type(error).__name__} {str(error)[:2000]}", flush=True)


def all_masks(strategy: str, shards: str, order: str, derivatives: str, *names: str) -> None:
    """Every mask; of the names alone where there are some."""
    attend = over(int(shards), strategy, order)
    for name, mask in cases.masks().items():
        args = cases.tokens(cases.T if name.startswith("square") else cases.S)
        if not names or name in names:
            tried(name, compare, attend, args, {"mask": mask}, gradients=derivatives == "gradients")


def all_options(strategy: str, shards: str, order: str, *names: str) -> None:
    """Every score, bias, normaliser and comparison, with all gradients."""
    attend = over(int(shards), strategy, order)
    every = cases.options() | ({} if strategy == "ring" else cases.whole_rows())
    for name, given in every.items():
        # What a comparison computes of each token lies in the order of the tokens.
        if (not names or name in names) and (order, name) != ("zigzag", "rbf"):
            tried(name, compare, attend, cases.tokens(), given, gradients=True)


REFUSING = ("cosformer", "gated_slot", "log_linear", "mesa")


def all_members(shards: str, derivatives: str, *names: str) -> None:
    """Members of the linear family with states; of the names alone with segments and lengths at once."""
    mesh = mesh_of(int(shards))
    ids = np.array([[3] * 5 + [1] * 3 + [3] * 8, [0] * 16])
    rests = [{"segment_ids": ids, "lengths": np.array([16, 11])}, *([] if names else [{}])]
    for name in MEMBERS:
        if (not names or name in names) and name not in REFUSING:
            for rest in rests:
                tried(name, one_member, name, mesh, rest, gradients=derivatives == "gradients")


def one_member(name: str, mesh: Any, rest: dict[str, Any], *, gradients: bool) -> None:
    case, member = draw(name, length=16), MEMBERS[name].function
    first, second, third = list(inspect.signature(member).parameters)[:3]
    named = {first: case.tokens["query"], second: case.tokens["key"], third: case.tokens["value"]}
    gates = {n: x for n, x in case.tokens.items() if n not in ("query", "key", "value")}
    tokens, fixed = {**named, **gates}, {**case.parameters, **case.fixed}
    _, start = member(**tokens, **fixed, return_state=True)
    given = {**fixed, **rest, "return_state": True, "chunk_size": 3}

    def loss(sharded: bool, tokens: Any, start: Any) -> Any:
        if sharded:
            found = aj.context_recurrence(member, tokens, mesh=mesh, initial_state=start, **given)
        else:
            found = member(**tokens, initial_state=start, **given)
        return sum(jnp.sin(x).sum() for x in jax.tree.leaves(found)), found

    def both(sharded: bool) -> Any:
        of = functools.partial(loss, sharded)
        run = jax.value_and_grad(of, argnums=(0, 1), has_aux=True) if gradients else of
        return jax.jit(run)(tokens, start)

    close(both(True), both(False))


def decoding(shards: str) -> None:
    """A cache in shards that grows by a token a step, in each of which one query attends it."""
    mesh = mesh_of(int(shards))
    query, key, value = cases.tokens(cases.T)
    whole = aj.attention(query, key, value, mask=aj.causal(), return_lse=True)
    cache = [jnp.full_like(x, jnp.nan) for x in (key, value)]

    @jax.jit
    def step(cache: Any, at: Any) -> Any:
        new = (jax.lax.dynamic_slice_in_dim(x, at, 1, 1) for x in (key, value))
        pairs = zip(cache, new, strict=True)
        cache = [jax.lax.dynamic_update_slice_in_dim(x, y, at, 1) for x, y in pairs]
        own = jax.lax.dynamic_slice_in_dim(query, at, 1, 1)
        found = aj.context_decode(own, *cache, mesh=mesh, mask=aj.causal(at), return_lse=True)
        return cache, found

    for at in range(cases.T):
        cache, (out, lse) = step(cache, jnp.int32(at))
        close((out[:, 0], lse[..., 0]), (whole[0][:, at], whole[1][..., at]))
    every = cases.options() | {name: {"mask": mask} for name, mask in cases.masks().items()}
    attend = functools.partial(aj.context_decode, mesh=mesh)
    for name in ("sink", "sigmoid", "score_fn", "dropout", "lengths", "predicate", "far", "nothing"):
        tried(name, compare, attend, cases.tokens(), every[name], gradients=True)


def inside(shards: str) -> None:
    """Calls inside of a shard_map of the caller's, which checks over which axes values vary or does not."""
    mesh = mesh_of(int(shards))
    for check, strategy in itertools.product((True, False), ("ring", "all_gather")):
        attend = functools.partial(in_a_shard_map, mesh, check, strategy)
        for name in ("dropout", "score_fn", "sink", "forget"):
            given = cases.options()[name]
            tried(f"{name} {strategy} {check}", compare, attend, cases.tokens(), given, gradients=True)


def in_a_shard_map(mesh: Any, check: bool, strategy: str, *args: Any, **given: Any) -> Any:
    """Attention of shards; what else is given is whole on each device."""
    p, (leaves, tree) = jax.sharding.PartitionSpec, jax.tree.flatten(given)
    arrays = [x for x in leaves if hasattr(x, "dtype")]

    def own(args: Any, arrays: Any) -> Any:
        left = iter(arrays)
        again = jax.tree.unflatten(tree, [next(left) if hasattr(x, "dtype") else x for x in leaves])
        return aj.context_attention(*args, strategy=strategy, **again)

    tokens, rows = p(None, "context"), p(None, None, "context")
    out = (tokens, rows) if given.get("return_lse") else tokens
    specs = {"in_specs": (tokens, p()), "out_specs": out, "axis_names": {"context"}}
    return jax.shard_map(own, mesh=mesh, check_vma=check, **specs)(args, arrays)


def explicit() -> None:
    """Meshes as `jax.make_mesh` makes them: given, set, and under arrays that say how they are spread."""
    mesh, p = jax.make_mesh((2, 4), ("data", "context")), jax.sharding.PartitionSpec
    args, mask = cases.tokens(), aj.causal(16)
    given = {"mask": mask, "return_lse": True}
    expected = aj.attention(*args, **given)
    close(aj.context_attention(*args, mesh=mesh, **given), expected)
    spread = [jax.device_put(x, jax.sharding.NamedSharding(mesh, p("data", "context"))) for x in args]
    found = aj.context_attention(*spread, mesh=mesh, **given)
    close(found, expected)
    assert jax.typeof(found[0]).sharding.spec == p("data", "context", None, None)
    with jax.set_mesh(mesh):
        close(jax.jit(lambda *x: aj.context_attention(*x, strategy="ring", **given))(*spread), expected)
        last = jax.device_put(args[0][:, -1:], jax.sharding.NamedSharding(mesh, p("data")))
        close(aj.context_decode(last, *spread[1:]), aj.attention(args[0][:, -1:], *args[1:]))
        tokens = dict(zip(("query", "key", "value"), spread, strict=True)) | {"query": spread[1]}
        found = aj.context_recurrence(aj.linear_attention, tokens, return_state=True)
        close(found, aj.linear_attention(args[1], args[1], args[2], return_state=True))


def forward_mode(*names: str) -> None:
    """Tangents, and derivatives of derivatives."""
    for strategy in ("ring", "all_gather"):
        for name in names:
            tried(f"{name} {strategy}", forward, over(4, strategy), cases.options()[name])


def forward(attend: Callable[..., Any], given: dict[str, Any]) -> None:
    floats, rebuilt = learned(given)
    primals = (cases.tokens(), floats)
    leaves, tree = jax.tree.flatten(primals)
    moves = jax.tree.unflatten(tree, [cases.normal(60 + i, *x.shape) for i, x in enumerate(leaves)])

    def of(fn: Callable[..., Any]) -> Any:
        def run(args: Any, floats: Any) -> Any:
            return fn(*args, **rebuilt(floats), return_lse=True)

        slope = jax.grad(lambda *x: jnp.sum(jnp.sin(run(*x)[0])), argnums=(0, 1))
        return jax.jit(lambda *x: (jax.jvp(run, x, moves), jax.jvp(slope, x, moves)))(*primals)

    close(of(attend), of(aj.attention))


def hops() -> None:
    """As many sends in the program as the rule says, and as the mask itself leaves."""
    x = jnp.zeros((1, 32, 1, 4))
    rules = {
        "none": (None, 8),
        "causal": (aj.causal(), 8),
        "window of a shard": (aj.sliding_window(4, 0), 2),
        "window of a shard and one": (aj.sliding_window(5, 0), 3),
        "window both ways": (aj.sliding_window(2, 2), 3),
        "window of 3 shards": (aj.causal() & aj.sliding_window(11, 0), 4),
        "own shard": (aj.block_diagonal(4), 1),
        "window of documents": (aj.sliding_window(4, 0) & aj.segments(jnp.arange(32) // 9), 2),
        "or": (aj.sliding_window(4, 0) | aj.block_diagonal(4), 2),
        "not": (~aj.causal(4), 8),
    }
    for name, (mask, expected) in rules.items():
        plan = aj.plan_context_attention(x, x, x, shards=8, mask=mask, strategy="ring")
        whole = np.ones((32, 32), bool) if mask is None else np.asarray(mask.materialize(32))
        whole = whole.reshape(-1, 32, 32).any(0)
        met = whole.reshape(8, 4, 8, 4).any((1, 3))
        left = {0, *((np.nonzero(met)[0] - np.nonzero(met)[1]) % 8).tolist()}
        counts = len(plan.hops), plan.sends, sent(x, mask)
        assert counts == (expected, expected - 1, 2 * (expected - 1)), (name, counts, expected)
        # Documents are data: they leave out no hop, and products only where bounds can tell.
        assert left <= set(plan.hops), name
        assert len(left) == expected or "documents" in name, name
        assert plan.products == met.sum(), (name, plan.products, met.sum())


def kept() -> None:
    """A gradient keeps each token's vectors, output and two sums once on the devices of the ring together."""
    x = jnp.zeros((1, 512, 2, 16))

    def numbers(strategy: str) -> int:
        attend = functools.partial(over(8, strategy), mask=aj.causal())
        _, pull = jax.vjp(jax.jit(attend), x, x, x)
        return sum(leaf.size for leaf in jax.tree.leaves(pull) if leaf.dtype == x.dtype)

    assert numbers("ring") < 4.5 * x.size, numbers("ring") / x.size
    assert numbers("all_gather") > 16 * x.size, numbers("all_gather") / x.size


def sent(x: Any, mask: Any) -> int:
    """How often arrays are sent, in a program whose loops are as long as they say."""
    jaxpr = jax.make_jaxpr(over(8, "ring"))(x, x, x, mask=mask)

    def count(jaxpr: Any) -> int:
        total = 0
        for equation in jaxpr.eqns:
            turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            total += equation.primitive.name == "ppermute"
            total += turns * sum(count(inner) for inner in jaxprs_in_params(equation.params))
        return total

    return count(jaxpr.jaxpr)


CHECKS = {
    "masks": all_masks,
    "options": all_options,
    "members": all_members,
    "decoding": decoding,
    "inside": inside,
    "explicit": explicit,
    "forward": forward_mode,
    "hops": hops,
    "kept": kept,
}

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_enable_x64", True)
    for is_end, words in itertools.groupby(sys.argv[1:], "+".__eq__):
        if not is_end:
            check, *names = words
            tried(check, CHECKS[check], *names)
    sys.exit(f"failed: {', '.join(FAILED)}" if FAILED else 0)
