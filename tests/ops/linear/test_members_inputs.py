"""What the members refuse and say; what the catalogue declares of them holds."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops.linear.members.cosformer import cosformer
from attnjax.ops.linear.members.gated_slot import SlotState, gated_slot
from attnjax.ops.linear.members.log_linear import LogLinearState, log_linear
from attnjax.ops.linear.members.mesa import mesa
from tests.daily import daily
from tests.ops.linear import member_cases
from tests.ops.linear.member_cases import A_FEW, MEMBERS, SIZES, draw

GATES = [(name, gate) for name, member in MEMBERS.items() for gate in member.gates]
# Which argument holds logarithms of decays, or what they are a product of.
DECAYS = [
    *((name, "decay") for name, member in MEMBERS.items() if "decay" in member.gates),
    ("mamba2", "rate"),
    ("hgrn2", "log_forget"),
]
NOT_NEGATIVE = [
    *((name, "strength") for name, member in MEMBERS.items() if "strength" in member.gates),
    ("mamba2", "dt"),
    ("gdn2", "erase_strength"),
    ("gdn2", "write_strength"),
]


def arguments_of(name: str) -> dict[str, Any]:
    case = draw(name)
    arrays = {n: jnp.asarray(x, jnp.float32) for n, x in (case.tokens | case.parameters).items()}
    return arrays | case.fixed


def call(name: str, **changed: Any) -> Any:
    arguments = arguments_of(name) | changed
    if MEMBERS[name].key == "log_forget":
        arguments.setdefault("log_forget", arguments.pop("key"))
    return MEMBERS[name].function(**arguments)


def both(name: str, **changed: Any) -> Any:
    return member_cases.both(name, **arguments_of(name) | changed)


@pytest.mark.parametrize(("name", "gate"), GATES)
def test_a_gate_of_another_shape(name, gate):
    with pytest.raises(ValueError, match=rf"{gate} has shape \[7, 7, 7\]: expected \["):
        call(name, **{gate: jnp.ones((7, 7, 7))})


@pytest.mark.parametrize(("name", "gate"), GATES)
def test_a_gate_of_integers(name, gate):
    with pytest.raises(TypeError, match=f"{gate} is an array of int32: expected floating point"):
        call(name, **{gate: jnp.ones((2, 9, 2), jnp.int32)})


@pytest.mark.parametrize("name", daily(MEMBERS, A_FEW))
def test_lists_are_arrays(name):
    lists = {n: np.asarray(x).tolist() if np.ndim(x) else x for n, x in arguments_of(name).items()}
    shapes = [jax.eval_shape(lambda given=given: call(name, **given)) for given in ({}, lists)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(("name", "argument"), DECAYS)
def test_a_log_decay_above_zero(name, argument):
    case = draw(name)
    x = (case.tokens | case.parameters)["key" if argument == "log_forget" else argument]
    with pytest.raises(
        ValueError, match=f"{argument} reaches up to 0.5: expected logarithms of decays, at most"
    ):
        call(name, **{argument: jnp.full(x.shape, 0.5)})


@pytest.mark.parametrize(("name", "argument"), NOT_NEGATIVE)
def test_a_negative_strength_or_step(name, argument):
    shape = draw(name).tokens[argument].shape
    with pytest.raises(ValueError, match=f"^{argument} goes down to -0.5: expected at least 0"):
        call(name, **{argument: jnp.full(shape, -0.5)})


@pytest.mark.parametrize("name", MEMBERS)
def test_a_name_that_the_member_does_not_take(name):
    """Of nothing, and of an argument that only the recurrence inside has."""
    for unknown in ("segment_id", "erase", "read"):
        message = (
            rf"^{name}\(\) got an unexpected keyword argument '{unknown}': it takes query, .* return_state$"
        )
        with pytest.raises(TypeError, match=message):
            call(name, **{unknown: None})


@pytest.mark.parametrize("name", [name for name, member in MEMBERS.items() if member.two_sided])
def test_a_name_that_both_directions_do_not_take(name):
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'erase'"):
        both(name, erase=None)


ROWS = {
    "segment_ids": (
        np.zeros((2, 5), int),
        r"segment_ids has shape \[2, 5\]: expected .* to \[2, 9\] \(\*B, T\)",
    ),
    "lengths": (np.zeros(3, int), r"lengths has shape \[3\]: expected .* to \[2\] \(\*B\)"),
}


@pytest.mark.parametrize("argument", ROWS)
@pytest.mark.parametrize("name", MEMBERS)
def test_segments_and_lengths_that_do_not_fit(name, argument):
    bad, message = ROWS[argument]
    for run in (call, both) if MEMBERS[name].two_sided else (call,):
        with pytest.raises(ValueError, match=message):
            run(name, **{argument: bad})
        with pytest.raises(TypeError, match=f"{argument} is an array of float32: expected integers"):
            run(name, **{argument: np.float32(1)})


@pytest.mark.parametrize("name", [name for name, member in MEMBERS.items() if member.two_sided])
def test_both_directions_check_ranks_as_the_member_does(name):
    with pytest.raises(ValueError, match=r"query .*\[9, 3\]"):
        both(name, query=jnp.ones((9, 3)))
    for gate in MEMBERS[name].gates:
        with pytest.raises(ValueError, match=rf"{gate} has shape \[9\]: expected \["):
            both(name, **{gate: jnp.ones(9)})


@pytest.mark.parametrize("name", MEMBERS)
def test_heads_that_do_not_fit(name):
    value = draw(name).tokens["value"]
    with pytest.raises(ValueError, match=r"key .*\[2, 9, .* value \[2, 9, "):
        call(name, value=jnp.ones((*value.shape[:-2], 3, 2)))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_key_without_heads(name):
    argument = "log_forget" if MEMBERS[name].key == "log_forget" else "key"
    with pytest.raises(ValueError, match=r"key .*\[5\]"):
        call(name, **{argument: jnp.ones(5)})


@pytest.mark.parametrize("name", ["log_linear", "mesa", "gated_slot"])
def test_a_state_of_another_kind(name):
    with pytest.raises(TypeError, match=r"initial_state is a ndarray: expected a .*State"):
        call(name, initial_state=np.zeros((2, 2, 3, 2)))


def test_single_arguments():
    x, gate = jnp.ones((3, 1, 2)), jnp.zeros((3, 1))
    with pytest.raises(ValueError, match="ridge goes down to 0: expected above 0"):
        mesa(x, x, x, decay=gate, strength=gate, ridge=jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="layer is 3: expected at least 0 and below layers = 3"):
        call("lightning", layer=3)
    with pytest.raises(ValueError, match="layer is -1: expected at least 0 and below layers = 3"):
        call("hgrn2", layer=-1)
    with pytest.raises(ValueError, match="form is 'chunky': expected one of"):
        call("gated_slot", form="chunky")
    slots = SlotState(jnp.zeros((1, 2, 3)), jnp.zeros((1, 4, 2)))
    with pytest.raises(ValueError, match=r"keys of initial_state has shape .*: expected \[1, 2, 4\]"):
        gated_slot(x, x, x, decay=jnp.zeros((3, 1, 4)), initial_state=slots)
    with pytest.raises(ValueError, match="horizon is 2 with T = 3 tokens: expected at least T"):
        cosformer(x, x, x, horizon=2)
    state = LogLinearState(jnp.zeros((1, 3, 2, 2)), jnp.array(3))
    with pytest.raises(ValueError, match=r"initial_state has levels .*: expected \[1, 4, 2, 2\] \(\*B, K, L"):
        log_linear(x, x, x, decay=gate, levels=jnp.ones((3, 1, 4)), initial_state=state)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_state_has_the_declared_shape(name):
    """And out is in the dtype of the values, the state float32, for inputs of bfloat16."""
    case, member = draw(name), MEMBERS[name]
    sizes = SIZES | {"K": SIZES["K"] * (SIZES["G"] if member.many_values else 1)}
    if name == "linear":
        sizes["F"] = sizes["H"]

    def run(tokens: dict[str, Any]) -> Any:
        q, k, v = (tokens.pop(n) for n in ("query", "key", "value"))
        return member.function(q, k, v, **tokens, **case.fixed, return_state=True)

    arrays = {n: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16) for n, x in case.tokens.items()}
    arrays |= {n: jax.ShapeDtypeStruct(x.shape, jnp.float32) for n, x in case.parameters.items()}
    out, state = jax.eval_shape(run, arrays)
    assert out.shape == (2, 9, 4, 2)
    assert out.dtype == jnp.bfloat16
    declared = member.state if isinstance(member.state, Mapping) else {"": member.state}
    for part, axes in declared.items():
        got = getattr(state, part) if part else state
        expected = [eval(axis.replace("·", "*"), None, sizes) for axis in axes.replace("*B", "B").split()]
        assert [*got.shape] == expected
        assert got.dtype == (jnp.int32 if part == "seen" else jnp.float32)


def test_fewer_levels_than_the_sequence_has():
    """The last level takes what lies beyond; in parts too."""
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.normal(size=(9, 1, 2)), jnp.float32) for _ in range(3))
    decay, levels = -jnp.ones((9, 1)) / 4, jnp.asarray(rng.random((9, 1, 5)), jnp.float32)
    short = levels[..., :3]
    beyond = jnp.concatenate([short, short[..., -1:], short[..., -1:]], -1)
    whole = jax.jit(log_linear)
    expected = whole(q, k, v, decay=decay, levels=beyond)
    np.testing.assert_allclose(whole(q, k, v, decay=decay, levels=short), expected, rtol=1e-5, atol=1e-6)
    head, tail = ({"decay": decay[s], "levels": short[s]} for s in (slice(0, 7), slice(7, 9)))
    prefill = jax.jit(functools.partial(log_linear, return_state=True))
    _, state = prefill(q[:7], k[:7], v[:7], **head)
    out = whole(q[7:], k[7:], v[7:], **tail, initial_state=state)
    np.testing.assert_allclose(out, expected[7:], rtol=1e-5, atol=1e-6)
