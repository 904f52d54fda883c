"""Inputs of every member, drawn from what the catalogue declares of it, and what its literal loop answers."""

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from attnjax.mechanisms import Recurrence, table
from attnjax.ops.linear.members.bidirectional import bidirectional
from tests.daily import covering
from tests.ops.linear import literal

MEMBERS = table(Recurrence)
OWN_FORM = ["log_linear", "mesa", "gated_slot"]
"""Which are computed by more than one recurrence."""
A_FEW = covering(
    {
        name: {
            member.key,
            *((gate.range, gate.per_token) for gate in member.gates.values()),
            name if name in OWN_FORM else ("decays", "decay" in member.gates, member.many_values),
        }
        for name, member in MEMBERS.items()
    }
)
"""One for each kind of gate and key, and each form: for tests of what members have from those."""
# Two query heads per key head, V ≠ H, and more of M slots, L levels, F features than of those.
SIZES = {"B": 2, "T": 9, "K": 2, "G": 2, "H": 3, "V": 2, "M": 4, "L": 5, "F": 6}
FIXED = {
    "cosformer": {"horizon": 12},
    "hgrn2": {"layer": 1, "layers": 3},
    "lightning": {"layer": 1, "layers": 3},
    "mesa": {"iterations": 12},
}


class Case(NamedTuple):
    """Arguments of a member: those that have an axis of tokens, parameters, and numbers."""

    tokens: dict[str, np.ndarray]
    parameters: dict[str, np.ndarray]
    fixed: dict[str, Any]


def draw(name: str, seed: int = 0, length: int = SIZES["T"]) -> Case:
    """Arguments of the member in float64; the second argument is `key` whatever its name is there."""
    rng, member, sizes = np.random.default_rng(seed), MEMBERS[name], SIZES | {"T": length}

    def array(axes: str, kind: str) -> np.ndarray:
        x = rng.normal(size=[sizes[axis] for axis in axes.replace("*", "").split()])
        return {
            "free": x,
            "random": x,
            "unit": x / np.linalg.norm(x, axis=-1, keepdims=True),
            "log_decay": -np.exp(x),
            "log_forget": -np.exp(x),
            "strength": 1 / (1 + np.exp(-x)),
            "positive": np.exp(x / 2),
            "rate": -np.exp(x / 2),
        }[kind]

    writes = " M" if member.key == "writes" else ""
    kind = "unit" if writes else member.key
    tokens = {
        "query": array("B T K H", "unit" if member.unit_query else "free"),
        "key": array(f"B T{writes} K H", kind),
        "value": array(f"B T{writes} K V", "free"),
    }
    if member.many_values:
        tokens["value"] = np.repeat(tokens["value"], 2, 2) * rng.normal(size=(2 * SIZES["K"], 1))
        gates = {n: array(g.axes.replace("K", "K G"), g.range) for n, g in member.gates.items()}
        gates = {n: x.reshape(*x.shape[:-2], -1) for n, x in gates.items()}
    else:
        tokens["query"] = np.repeat(tokens["query"], 2, 2) * rng.normal(size=(2 * SIZES["K"], 1))
        gates = {n: array(g.axes, g.range) for n, g in member.gates.items()}
    parameters = {n: x for n, x in gates.items() if not member.gates[n].per_token}
    tokens |= {n: x for n, x in gates.items() if n not in parameters}
    return Case(tokens, parameters, FIXED.get(name, {}))


def call(name: str, case: Case, function: Any = None, **options: Any) -> Any:
    """The member (or a function of the same arguments), compiled; what is no array is static."""
    arrays = {n: x for n, x in options.items() if n in ("segment_ids", "lengths", "initial_state")}
    static = {n: x for n, x in options.items() if n not in arrays} | case.fixed

    def run(tokens: dict[str, Any], others: dict[str, Any]) -> Any:
        tokens = dict(tokens)
        q, k, v = (tokens.pop(n) for n in ("query", "key", "value"))
        return (function or MEMBERS[name].function)(q, k, v, **tokens, **others, **static)

    return jax.jit(run)(case.tokens, case.parameters | arrays)


def both(name: str, query: Any, key: Any, value: Any, **arguments: Any) -> Any:
    """The member in both directions, as it is declared."""
    member = MEMBERS[name]
    given: dict[str, Any] = {"join": member.two_sided, "token_gates": member.token_gates}
    return bidirectional(member.function, query, key, value, **given, **arguments)


def answer(
    name: str, case: Case, *, segment_ids: Any = None, lengths: Any = None, two_sided: bool = False
) -> Any:
    """(out, states of each row and key head) by the literal loop, segment by segment up to each length."""
    rows, length = case.tokens["query"].shape[:2]
    values = case.tokens["value"].shape[-2]
    heads = max(case.tokens["query"].shape[-2], values)
    out = np.zeros((rows, length, heads, case.tokens["value"].shape[-1]))
    states: dict[tuple[int, int], Any] = {}
    for row, head in np.ndindex(rows, heads):
        end = length if lengths is None else lengths[row]
        ids = np.zeros(length) if segment_ids is None else segment_ids[row]
        borders = [0, *(np.flatnonzero(np.diff(ids[:end])) + 1), end]
        for piece in pairwise(borders):
            span = slice(*piece)
            given = {n: _of_head(x[row, span], n, name, head, heads) for n, x in case.tokens.items()}
            gates = {n: _of_head(x, n, name, head, heads) for n, x in case.parameters.items()}
            number = head // (heads // values)
            gates |= {"head": number, "heads": values, "two_sided": two_sided, **case.fixed}
            q, k, v = (given.pop(n) for n in ("query", "key", "value"))
            out[row, span, head], states[row, number] = getattr(literal, name)(q, k, v, gates | given)
    return out, states


def _of_head(x: np.ndarray, argument: str, name: str, head: int, heads: int) -> np.ndarray:
    """x without its axis of heads, where it has one: the argument's share for this head of `heads`."""
    axes = {"query": "K H", "key": "K H", "value": "K V"}.get(argument)
    axes = axes or MEMBERS[name].gates[argument].axes
    if "K" not in axes.split():
        return x
    axis = axes.split()[::-1].index("K")
    count = x.shape[-1 - axis]
    return np.take(x, head // (heads // count), axis=-1 - axis)
