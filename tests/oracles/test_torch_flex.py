"""Against torch's flex_attention run eagerly: masks and score modifications, output and log-sum-exp."""

import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.positions import alibi_slopes
from tests.daily import swept
from tests.oracles.oracle_support import (
    CASES,
    ENGINES,
    MUTATIONS,
    SIZES,
    SQUARE,
    Sizes,
    assert_close,
    assert_rows_close,
    attend,
    draw,
    key_lengths,
    query_lengths,
    segment_ids,
)

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
flex = pytest.importorskip("torch.nn.attention.flex_attention", reason="torch has no flex_attention")

pytestmark = pytest.mark.filterwarnings("ignore:.*_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG")


@pytest.fixture(autouse=True)
def _plainly_eager(monkeypatch):
    """Without tracing, which takes seconds per function."""
    monkeypatch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


def peer(inputs, *, mask_mod=None, score_mod=None, scale=None):
    """Output [B,T,N,V] and lse [B,N,T]."""
    tensors = [torch.tensor(np.swapaxes(x, 1, 2)) for x in inputs]
    (b, n, t, _), s = tensors[0].shape, tensors[1].shape[2]
    block_mask = mask_mod and flex.create_block_mask(mask_mod, b, n, t, s, device="cpu", BLOCK_SIZE=16)
    out, aux = flex.flex_attention(
        *tensors,
        score_mod=score_mod,
        block_mask=block_mask,
        scale=scale,
        enable_gqa=True,
        return_aux=flex.AuxRequest(lse=True),
    )
    return out.numpy().swapaxes(1, 2), aux.lse.numpy()


def _segments(z: Sizes, *, causal: bool = False):
    query_ids, key_ids = map(torch.tensor, segment_ids(z))
    return lambda b, h, i, j: (query_ids[b, i] == key_ids[b, j]) & ((i >= j) | (not causal))


def _lengths(z: Sizes):
    queries, keys = torch.tensor(query_lengths(z)), torch.tensor(key_lengths(z))
    return lambda b, h, i, j: (i < queries[b]) & (j < keys[b])


# The cases of oracle_support as flex's mask functions, written for this peer alone.
MASK_MODS = {
    "causal": lambda z: lambda b, h, i, j: i >= j,
    "causal, bottom-right": lambda z: lambda b, h, i, j: i + z.S - z.T >= j,
    "window": lambda z: lambda b, h, i, j: (i - j <= 5) & (j - i <= 2),
    "causal window, offset": lambda z: lambda b, h, i, j: (i + 3 >= j) & (i + 3 - j <= 4),
    "prefix": lambda z: lambda b, h, i, j: (j < 6) | (i >= j),
    "lengths": _lengths,
    "segments": _segments,
    "causal segments": lambda z: _segments(z, causal=True),
}


@pytest.mark.parametrize(
    ("name", "sizes", "engine"),
    swept(MASK_MODS, "causal window, offset", ["square, grouped", "more keys, V≠H"], ENGINES),
)
def test_masked_output_and_lse(engine, name, sizes):
    sizes = SIZES[sizes]
    inputs, case = draw(sizes), CASES[name]
    out, lse = attend(inputs, engine, mask=case.ours(sizes), return_lse=True)
    want, want_lse = peer(inputs, mask_mod=MASK_MODS[name](sizes))
    assert_rows_close(out, want, case.literal(sizes))
    np.testing.assert_allclose(lse, want_lse, rtol=1e-10, atol=1e-10)


SLOPES = alibi_slopes(SQUARE.N)
TABLE = np.random.default_rng(2).normal(size=(8, SQUARE.N))
LOG_FORGET = np.log(np.random.default_rng(3).uniform(0.5, 1, (SQUARE.batch, SQUARE.S, SQUARE.N)))

TORCH_SLOPES, TORCH_TABLE = torch.tensor(np.asarray(SLOPES, np.float64)), torch.tensor(TABLE)
TORCH_FORGOTTEN = torch.tensor(LOG_FORGET).cumsum(1)


def _relative_bias(score, b, h, i, j):
    """T5, 4+4 buckets up to 16 tokens: 0, 1, [2,6), [6,∞): (4-2)·log(n/2)/log(16/2) is 1 at n = 5.66."""
    n = (i - j).abs()
    bucket = torch.where(n < 2, n, torch.where(n < 6, 2, 3)) + torch.where(j > i, 4, 0)
    return score + TORCH_TABLE[bucket, h]


def _forget(score, b, h, i, j):
    return score + TORCH_FORGOTTEN[b, i, h] - TORCH_FORGOTTEN[b, j, h]


SCORES = {
    "alibi": (
        lambda: aj.alibi(SLOPES),
        lambda score, b, h, i, j: score - TORCH_SLOPES[h] * (i - j),
    ),
    "softcap": (lambda: aj.softcap(5.0), lambda score, b, h, i, j: 5.0 * torch.tanh(score / 5.0)),
    "relative bias": (
        lambda: aj.relative_bias(TABLE, max_distance=16, bidirectional=True),
        _relative_bias,
    ),
    "forget gate": (lambda: aj.forget_gate(LOG_FORGET), _forget),
    "softcap, then alibi": (
        lambda: aj.softcap(5.0) >> aj.alibi(SLOPES),
        lambda score, b, h, i, j: SCORES["alibi"][1](SCORES["softcap"][1](score, b, h, i, j), b, h, i, j),
    ),
    "alibi, then softcap": (
        lambda: [aj.alibi(SLOPES), aj.softcap(5.0)],
        lambda score, b, h, i, j: SCORES["softcap"][1](SCORES["alibi"][1](score, b, h, i, j), b, h, i, j),
    ),
    "a function": (
        lambda: aj.score_fn(
            lambda score, b, h, i, j, p: score * p + 0.125 * (i - 2 * j) * (h + b), np.float64(0.75)
        ),
        lambda score, b, h, i, j: score * 0.75 + 0.125 * (i - 2 * j) * (h + b),
    ),
}


@pytest.mark.parametrize(("name", "engine"), swept(SCORES, "alibi", ENGINES))
def test_modified_scores(engine, name):
    inputs = draw(SQUARE)
    ours, theirs = SCORES[name]
    out, lse = attend(inputs, engine, mask=aj.causal(), score=ours(), return_lse=True)
    want, want_lse = peer(inputs, mask_mod=MASK_MODS["causal"](SQUARE), score_mod=theirs)
    assert_close(out, want)
    assert_close(lse, want_lse)


@pytest.mark.parametrize("engine", ENGINES)
def test_relative_bias_of_later_keys(engine):
    inputs, (ours, theirs) = draw(SQUARE), SCORES["relative bias"]
    assert_close(attend(inputs, engine, score=ours()), peer(inputs, score_mod=theirs)[0])


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_the_comparison_sees_a_planted_bug(mutation):
    inputs = draw(SQUARE)
    want, _ = peer(inputs, mask_mod=MASK_MODS["causal"](SQUARE))
    mutated, kwargs = mutation(inputs, {"mask": aj.causal()})
    out, _ = attend(mutated, "reference", return_lse=True, **kwargs)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(out, want)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("alibi", lambda: None),
        ("alibi", lambda: aj.alibi(SLOPES[::-1])),
        ("softcap", lambda: aj.softcap(5.1)),
        ("relative bias", lambda: aj.relative_bias(TABLE, max_distance=64, bidirectional=True)),
        ("forget gate", lambda: aj.forget_gate(np.roll(LOG_FORGET, 1, axis=1))),
        ("softcap, then alibi", lambda: aj.alibi(SLOPES) >> aj.softcap(5.0)),
    ],
)
def test_the_comparison_sees_a_planted_bug_in_a_score(name, wrong):
    inputs, theirs = draw(SQUARE), SCORES[name][1]
    want, _ = peer(inputs, mask_mod=MASK_MODS["causal"](SQUARE), score_mod=theirs)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(attend(inputs, "reference", mask=aj.causal(), score=wrong()), want)
