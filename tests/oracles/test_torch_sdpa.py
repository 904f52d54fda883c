"""Against torch's scaled_dot_product_attention: the MATH backend in float64, forward and gradients."""

import itertools

import numpy as np
import pytest

import attnjax as aj
from tests.daily import daily, swept
from tests.oracles.oracle_support import (
    BFLOAT16_ROUNDOFF,
    CASES,
    ENGINES,
    MUTATIONS,
    SIZES,
    SQUARE,
    Inputs,
    assert_close,
    assert_rows_close,
    attend,
    attend_gradients,
    draw,
    key_lengths,
    rounded,
)

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
sdpa = torch.nn.functional.scaled_dot_product_attention


def to_torch(x, requires_grad=False):
    """[B,T,N,H] -> [B,N,T,H]"""
    return torch.tensor(np.swapaxes(x, 1, 2), dtype=torch.float64, requires_grad=requires_grad)


def peer(inputs, *, allowed=None, bias=None, scale=None):
    """torch's output [B,T,N,V]."""
    tensors = [to_torch(x) for x in inputs]
    return _call(tensors, allowed, bias, scale).numpy().swapaxes(1, 2)


def peer_gradients(inputs, cotangent, *, allowed=None, bias=None, scale=None):
    tensors = [to_torch(x, requires_grad=True) for x in inputs]
    (_call(tensors, allowed, bias, scale) * to_torch(cotangent)).sum().backward()
    return Inputs(*(t.grad.numpy().swapaxes(1, 2) for t in tensors))


def _call(tensors, allowed, bias, scale):
    mask = None if allowed is None else torch.tensor(allowed)
    if bias is not None:
        mask = torch.tensor(bias) if mask is None else torch.tensor(bias).masked_fill(~mask, -torch.inf)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return sdpa(*tensors, attn_mask=mask, scale=scale, enable_gqa=True)


@pytest.mark.parametrize(
    ("sizes", "engine", "dtype"),
    daily(
        itertools.product(SIZES, ENGINES, ["float64", "float32"]),
        [
            *((sizes, "blockwise", "float64") for sizes in SIZES),
            ("square, grouped", "reference", "float64"),
            *(("square, grouped", engine, "float32") for engine in ENGINES),
        ],
    ),
)
def test_unmasked_output(engine, dtype, sizes):
    inputs = rounded(draw(SIZES[sizes]), dtype)
    assert_close(attend(inputs, engine, dtype), peer(inputs), dtype)


@pytest.mark.parametrize(
    ("case", "sizes", "engine"),
    swept(CASES, "causal, bottom-right", ["more queries", "square, grouped"], ENGINES),
)
def test_masked_output(engine, case, sizes):
    case, sizes = CASES[case], SIZES[sizes]
    inputs, allowed = draw(sizes), case.literal(sizes)
    assert_rows_close(attend(inputs, engine, mask=case.ours(sizes)), peer(inputs, allowed=allowed), allowed)


@pytest.mark.parametrize("case", ["causal, bottom-right", "causal window, offset", "segments"])
def test_masked_output_over_several_blocks(case):
    sizes = SIZES["several blocks"]
    inputs, allowed = draw(sizes), CASES[case].literal(sizes)
    got = attend(inputs, "blockwise", mask=CASES[case].ours(sizes))
    assert_rows_close(got, peer(inputs, allowed=allowed), allowed)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("heads", [1, 6])
def test_bias_scale_and_mask_together(engine, heads):
    inputs, allowed = draw(SQUARE), CASES["causal"].literal(SQUARE)
    bias = np.random.default_rng(1).normal(size=(1, heads, SQUARE.T, SQUARE.S))
    got = attend(inputs, engine, bias=bias, scale=0.4, mask=CASES["causal"].ours(SQUARE))
    assert_close(got, peer(inputs, bias=bias, scale=0.4, allowed=allowed))


@pytest.mark.parametrize(
    ("case", "sizes", "engine"),
    swept(
        [None, "causal, bottom-right", "lengths of keys", "causal window, offset"],
        "causal, bottom-right",
        ["one query", "more keys, V≠H", "square, grouped"],
        ENGINES,
    ),
)
def test_gradients(engine, sizes, case):
    sizes = SIZES[sizes]
    inputs, kwargs, allowed = draw(sizes), {}, None
    if case == "lengths of keys":
        kwargs["mask"] = aj.lengths(key=key_lengths(sizes))
        allowed = np.arange(sizes.S) < key_lengths(sizes)[:, None, None, None]
    elif case:
        kwargs["mask"], allowed = CASES[case].ours(sizes), CASES[case].literal(sizes)
    cotangent = draw(sizes, seed=9).query[..., :1] * np.ones(sizes.V)
    got = attend_gradients(inputs, cotangent, engine, **kwargs)
    for ours, theirs in zip(got, peer_gradients(inputs, cotangent, allowed=allowed), strict=True):
        assert_close(ours, theirs)


def assert_within_bfloat16(got, inputs, allowed):
    """Two roundings to bfloat16 are allowed: of the weights that meet the values, and of the output."""
    want = peer(inputs, allowed=allowed)
    mixed = peer(inputs._replace(value=np.abs(inputs.value)), allowed=allowed)
    assert (np.abs(got - want) <= BFLOAT16_ROUNDOFF * (np.abs(want) + mixed) + 1e-5).all()


@pytest.mark.parametrize("engine", daily(ENGINES, ["blockwise"]))
@pytest.mark.optimised
def test_bfloat16_output_is_within_its_rounding(engine):
    inputs, case = rounded(draw(SQUARE), "bfloat16"), CASES["causal"]
    got = attend(inputs, engine, "bfloat16", mask=case.ours(SQUARE))
    assert_within_bfloat16(got, inputs, case.literal(SQUARE))


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_the_comparison_of_outputs_sees_a_planted_bug(mutation):
    inputs, case = draw(SQUARE), CASES["causal"]
    want = peer(inputs, allowed=case.literal(SQUARE))
    mutated, kwargs = mutation(inputs, {"mask": case.ours(SQUARE)})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(attend(mutated, "reference", **kwargs), want)


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_the_comparison_of_gradients_sees_a_planted_bug(mutation):
    inputs, case = draw(SQUARE), CASES["causal"]
    cotangent = draw(SQUARE, seed=9).query
    want = peer_gradients(inputs, cotangent, allowed=case.literal(SQUARE))
    mutated, kwargs = mutation(inputs, {"mask": case.ours(SQUARE)})
    got = attend_gradients(mutated, cotangent, "reference", **kwargs)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(*(np.concatenate([g.ravel() for g in gradients]) for gradients in (got, want)))


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_the_bfloat16_bound_sees_a_planted_bug(mutation):
    inputs, case = rounded(draw(SQUARE), "bfloat16"), CASES["causal"]
    mutated, kwargs = mutation(inputs, {"mask": case.ours(SQUARE)})
    with pytest.raises(AssertionError):
        assert_within_bfloat16(
            attend(mutated, "reference", "bfloat16", **kwargs), inputs, case.literal(SQUARE)
        )


def test_the_comparison_sees_a_window_one_key_too_wide():
    inputs, case = draw(SQUARE), CASES["window"]
    want = peer(inputs, allowed=case.literal(SQUARE))
    for left, right in ((6, 2), (5, 3), (4, 2)):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_close(attend(inputs, "reference", mask=aj.sliding_window(left, right)), want)
