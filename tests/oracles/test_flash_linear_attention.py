"""The members against flash-linear-attention's own plain torch loops, which compute in float32.

Its package imports Triton; these files need torch alone, so they are loaded one by one. Lightning's slopes,
Performer's and cosFormer's features are not among them.
"""

import importlib.util
from importlib.metadata import PackageNotFoundError, files

import numpy as np
import pytest

from attnjax.ops.linear.hgrn import hgrn
from attnjax.ops.linear.ttt import ttt_linear
from tests.daily import daily
from tests.ops.linear.member_cases import MEMBERS

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
pytest.importorskip("einops", reason="einops is not installed (extra: oracles)")
try:
    PLACES = {str(file): file.locate() for file in files("fla-core") or ()}
except PackageNotFoundError:
    pytest.skip("fla-core is not installed (extra: oracles)", allow_module_level=True)

B, T, N, H, V, M = 2, 37, 3, 8, 8, 6


def naive(module, name, *args, **options):
    """A function of fla/ops/MODULE.py."""
    spec = importlib.util.spec_from_file_location(f"fla_{name}", PLACES[f"fla/ops/{module}.py"])
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)(*args, **options)


def draw():
    """Tokens [B, T, N, ·]: unit keys, log-decays of two kinds, strengths, what only some members read."""
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(B, T, N, H)) for name in ("query", "key", "removal")}
    x = {name: value / np.linalg.norm(value, axis=-1, keepdims=True) for name, value in x.items()}
    x |= {"value": rng.normal(size=(B, T, N, V)), "per_head": -rng.exponential(size=(B, T, N))}
    x |= {"per_channel": -rng.exponential(size=(B, T, N, H)), "per_slot": -rng.exponential(size=(B, T, N, M))}
    x |= {"strength": rng.random((B, T, N)), "learning_rate": rng.random((B, T, N, H))}
    x |= {"bonus": rng.normal(size=(N, H)), "ridge": np.exp(rng.normal(size=(N, H)))}
    x |= {"levels": rng.random((B, T, N, 7)), "rate": -rng.exponential(size=N)}
    x |= {"per_value": rng.random((B, T, N, V)), "per_head_strength": rng.random(N)}
    x |= {"keys": np.stack([x["key"], np.roll(x["key"], 1, 1)], 2)}
    x |= {"values": rng.normal(size=(B, T, 2, N, V)), "strengths": rng.random((B, T, 2, N))}
    return {name: value.astype(np.float32) for name, value in x.items()}


def heads_first(function):
    """fla's older loops have the heads before the tokens."""
    return lambda *args: function(*(x.transpose(1, 2) if x.ndim > 2 else x for x in args)).transpose(1, 2)


def quotient(module, name):
    """A sum of values over the same sum of ones: without the 1e-6 that fla adds to the divisor."""

    def run(q, k, v):
        rows = naive(module, name, q, k, torch.cat([v, torch.ones_like(v[..., :1])], -1), use_norm=False)
        return rows[..., :-1] / rows[..., -1:]

    return heads_first(run)


def rebased(q, k, v):
    q, k = (torch.nn.functional.layer_norm(x, (H,)) for x in (q, k))
    return quotient("rebased/naive", "naive_parallel_rebased")(q, k, v)


def linear(q, k, v):
    q, k = (torch.nn.functional.elu(x) + 1 for x in (q, k))
    return naive("linear_attn/naive", "naive_recurrent_linear_attn", q, k, v, normalize=True)[0]


def mamba2(q, k, v, dt, rate):
    return naive("simple_gla/naive", "naive_recurrent_simple_gla", q, k, dt[..., None] * v, dt * rate, 1.0)[0]


def delta_product(q, k, v, strength, decay):
    k, v, strength = (x.flatten(1, 2) for x in (k, v, strength))
    options = {"scale": H**-0.5, "num_householder": 2}
    name = "naive_recurrent_gated_delta_product"
    return naive("gated_delta_product/naive", name, q, k, v, decay, strength, **options)[0]


def comba(q, k, v, decay, strength, feedback, correction):
    by_head = feedback[:, None] * k
    args = q - correction[:, None] * k, k, v, by_head, strength, decay
    return naive("comba/naive", "naive_recurrent_comba", *args)[0]


def rwkv7(q, k, v, decay, removal, rate):
    args = (q, k, v, -removal, rate * removal, decay)
    return heads_first(lambda *x: naive("generalized_delta_rule/dplr/naive", "dplr_recurrence", *x)[0])(*args)


def simple(module, name, order=None, **options):
    """A function that takes our arguments, in an order of its own, and answers with the output first."""

    def run(*args):
        out = naive(module, name, *(args if order is None else [args[i] for i in order]), **options)
        return out[0] if isinstance(out, tuple) else out

    return run


def rwkv6(*args):
    return heads_first(simple("rwkv6/recurrent_naive", "naive_recurrent_rwkv6", scale=1.0))(*args)


def log_linear(q, k, v, decay, levels):
    return naive("log_linear_attn/naive", "naive_log_linear_attn", q, k, v, decay, levels, scale=1.0)


SCALED = {"scale": H**-0.5}
GLA = simple("gla/naive", "naive_recurrent_gla")
# member: fla's function of query, key, value and what follows; our options beside those
PEERS = {
    "linear": (linear, {}, {}),
    "retention": (heads_first(simple("retention/naive", "naive_retention")), {}, {}),
    "simple_gla": (simple("simple_gla/naive", "naive_chunk_simple_gla"), {"decay": "per_head"}, {}),
    "mamba2": (mamba2, {"dt": "strength", "rate": "rate"}, {}),
    "gla": (GLA, {"decay": "per_channel"}, {}),
    "hgrn2": (lambda q, f, v: GLA(q, 1 - f.exp(), v, f), {}, SCALED),
    "rwkv6": (rwkv6, {"decay": "per_channel", "bonus": "bonus"}, {}),
    "delta_net": (
        heads_first(simple("delta_rule/naive", "delta_rule_recurrence")),
        {"strength": "strength"},
        {},
    ),
    "gated_delta_net": (
        simple("gated_delta_rule/naive", "naive_recurrent_gated_delta_rule", (0, 1, 2, 4, 3)),
        {"decay": "per_head", "strength": "strength"},
        {},
    ),
    "kda": (
        simple("kda/naive", "naive_recurrent_kda"),
        {"decay": "per_channel", "strength": "strength"},
        {},
    ),
    "gdn2": (
        simple("gdn2/naive", "naive_recurrent_gdn2"),
        {"decay": "per_channel", "erase_strength": "learning_rate", "write_strength": "per_value"},
        {},
    ),
    "comba": (
        comba,
        {
            "decay": "per_head",
            "strength": "strength",
            "feedback": "per_head_strength",
            "correction": "rate",
        },
        {},
    ),
    "delta_product": (delta_product, {"strength": "strengths", "decay": "per_head"}, {}),
    "rwkv7": (
        rwkv7,
        {"decay": "per_channel", "removal": "removal", "learning_rate": "learning_rate"},
        SCALED,
    ),
    "based": (quotient("based/naive", "naive_parallel_based"), {}, {}),
    "rebased": (rebased, {}, {}),
    "log_linear": (log_linear, {"decay": "per_head", "levels": "levels"}, {"scale": 1.0}),
    "mesa": (
        simple("mesa_net/naive", "naive_mesa_net_exact", (0, 1, 2, 3, 5, 4)),
        {"decay": "per_head", "strength": "strength", "ridge": "ridge"},
        {},
    ),
    "gated_slot": (
        lambda q, k, v, g: simple("gsa/naive", "naive_recurrent_gsa")(q, k, v, 1 - g.exp(), g),
        {"decay": "per_slot"},
        {},
    ),
}


# One of each form of the recurrence; `tests/ops/linear` compares all with loops of its own.
FORMS = ("linear", "gla", "mamba2", "delta_product", "rwkv7", "log_linear", "mesa", "gated_slot")


@pytest.mark.parametrize("name", daily(PEERS, FORMS))
def test_a_member(name):
    theirs, gates, options = PEERS[name]
    x = draw()
    second, third = {"hgrn2": ("per_channel", "value"), "delta_product": ("keys", "values")}.get(
        name, ("key", "value")
    )
    args = x["query"], x[second], x[third]
    given = {ours: x[drawn] for ours, drawn in gates.items()}
    expected = theirs(*map(torch.tensor, (*args, *given.values()))).numpy()
    got = MEMBERS[name].function(*args, **given, **options, chunk_size=16)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_hgrn_without_phases():
    x = draw()
    content, log = x["value"][:, :, 0], x["per_channel"][:, :, 0]
    written = (1 - np.exp(log)) * content
    expected = naive("hgrn/naive", "naive_recurrent_hgrn", torch.tensor(written), torch.tensor(log))[0]
    got, _ = hgrn(np.stack([content, 0 * content], -1), np.exp(log), np.zeros(V, np.float32))
    np.testing.assert_allclose(got[..., 0], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_what_ttt_linear_has_learned():
    """fla's rates are of the place alone, and it adds what is read to W q, not to q: states are compared."""
    x, size, length = draw(), 8, 32
    query, key, value = (x[name][:, :length] for name in ("query", "key", "value"))
    place = np.linspace(1.0, 0.2, size, dtype=np.float32)
    rates = np.resize(place, length)[None, :, None, None] * np.ones((B, 1, N, 1), np.float32)
    gain, shift = 1 + x["bonus"], x["ridge"]
    args = map(torch.tensor, (query, key, value, gain, shift, rates))
    options = {"scale": 1.0, "mini_batch_size": size, "output_final_state": True}
    _, weight, bias = naive("ttt/naive", "chunk_ttt_linear_ref", *args, **options)
    zeros = np.zeros((N, H), np.float32)
    model = {"weight": np.zeros((N, H, H), np.float32), "bias": zeros, "gain": gain, "shift": shift}
    rate = np.ones((B, length, N), np.float32)
    _, state = ttt_linear(query, key, value, **model, rate=rate, place_rate=place)
    np.testing.assert_allclose(state.weight, weight.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(state.bias, bias[:, :, 0].numpy(), rtol=1e-4, atol=1e-4)


def test_all_but_three_have_a_peer():
    assert set(MEMBERS) - set(PEERS) == {"lightning", "performer", "cosformer"}
