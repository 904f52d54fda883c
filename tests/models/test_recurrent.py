"""The recurrent encoder-decoder against its formulas written out, step by step as at once, and refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import RecurrentConfig, RecurrentEncoderDecoder, beams, generate
from attnjax.models.decoding.loop import proceed
from attnjax.models.decoding.scoring import force
from attnjax.nn import Capture
from attnjax.nn.cells import CELLS
from attnjax.nn.taps import Taps, add, patch
from tests.daily import daily
from tests.nn.moved import moved, value_and_slope

B, S, T, V, D = 2, 5, 4, 9, 8
LENGTHS = np.array([5, 3])
DRAW = np.random.default_rng(0)
SOURCE, TARGET = DRAW.integers(3, V, (B, S)), DRAW.integers(3, V, (B, T))
BAHDANAU = {"cell": "gru", "cross_mechanism": "additive", "order": "bahdanau", "coverage": True, "copy": True}
CONFIGS: dict[str, dict[str, Any]] = {
    "luong": {"layers": 2},
    "bahdanau, coverage, copy": BAHDANAU,
    "none": {"cross_mechanism": None},
    "monotonic": {"cross_mechanism": "monotonic", "cell": "gru"},
    "local_p": {"cross_mechanism": "local_p(size=2)", "input_feeding": False},
}


def made(fields: dict[str, Any]) -> tuple[RecurrentEncoderDecoder, dict[str, Any]]:
    """A model off its start, and its parameters."""
    config = RecurrentConfig(**{"dim": D, **fields})
    model = RecurrentEncoderDecoder(config, source_vocab=V, target_vocab=V, rngs=nnx.Rngs(0))
    graphdef, params, plain = moved(model, scale=1.0)
    return nnx.merge(graphdef, params), jax.tree.map(lambda x: np.asarray(x, np.float64), plain)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def lstm(p: dict[str, Any], state: tuple[np.ndarray, ...], x: np.ndarray) -> tuple[np.ndarray, ...]:
    h, c = state
    i, f, g, o = np.split(
        x @ p["of_input"]["kernel"] + p["of_input"]["bias"] + h @ p["of_state"]["kernel"], 4
    )
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(p: dict[str, Any], state: tuple[np.ndarray, ...], x: np.ndarray) -> tuple[np.ndarray, ...]:
    (h,) = state
    r, z, n = np.split(x @ p["of_input"]["kernel"] + p["of_input"]["bias"], 3)
    u, v, w = np.split(h @ p["of_state"]["kernel"] + p["of_state"]["bias"], 3)
    z = sigmoid(z + v)
    return ((1 - z) * np.tanh(n + sigmoid(r + u) * w) + z * h,)


def embed(p: dict[str, Any], token: int) -> np.ndarray:
    return D**0.5 * p["tokens"]["embedding"][token]


def literal(
    fields: dict[str, Any], p: dict[str, Any], source: Any, target: Any, given: Any = None
) -> tuple[Any, Any]:
    """The logits [T, V] and the weights [T, S] of one pair, token by token; with weights that are given."""
    bahdanau, cell = fields.get("order") == "bahdanau", lstm if fields.get("cell") != "gru" else gru
    kept, layers = 2 if cell is lstm else 1, fields.get("layers", 1)
    x = [embed(p["source_embedding"], token) for token in source]
    for layer in range(layers):
        ways = []
        for way, order in (("forward", 1), ("backward", -1)):
            state, out = (np.zeros(D // 2),) * kept, []
            for vector in x[::order]:
                state = cell(p[way][layer], state, vector)
                out.append(state[0])
            ways.append(out[::order])
        x = [np.concatenate(both) for both in zip(*ways, strict=True)]
    memory, ends = np.array(x), np.concatenate([x[-1][: D // 2], x[0][D // 2 :]])
    d = p["decoder"]
    states = [tuple(np.split(ends @ b["kernel"] + b["bias"], kept)) for b in d["bridge"].values()]
    fed, covered, logits, weights = np.zeros(D), np.zeros(len(source)), [], []

    def attend(state: np.ndarray) -> np.ndarray:
        if given is not None:
            return np.asarray(given[len(weights)])
        if not bahdanau:
            return softmax(memory @ (state @ d["attention"]["made"]["general"]["weight"][0]))
        a = d["attention"]
        query = state @ a["query"]["kernel"][:, 0] + a["query"]["bias"][0]
        keys = memory @ a["key"]["kernel"][:, 0] + covered[:, None] * a["cover"][0]
        return softmax(np.tanh(query + keys) @ a["made"]["additive"]["v"][0])

    for token in target:
        x = embed(p["target_embedding"], token)
        if bahdanau:
            a = attend(states[-1][0])
            x = np.concatenate([x, a @ memory])
        else:
            x = np.concatenate([x, fed])
        for layer in range(layers):
            states[layer] = cell(d["cells"][layer], states[layer], x)
            x = states[layer][0]
        a = a if bahdanau else attend(x)
        fed, covered = np.tanh(np.concatenate([a @ memory, x]) @ d["joined"]["kernel"]), covered + a
        row = fed @ p["output"]["kernel"] + p["output"]["bias"]
        if "copying" in p:
            gate = p["copying"]["gate"]["linear"]
            g = sigmoid(fed @ gate["kernel"][:, 0] + gate["bias"][0])
            mix = g * softmax(row)
            for share, word in zip(a, source, strict=True):
                mix[word] += (1 - g) * share
            row = np.log(mix)
        logits.append(row)
        weights.append(a)
    return np.array(logits), np.array(weights)


@pytest.mark.parametrize("name", daily(CONFIGS, list(CONFIGS)[:2]))
def test_it_is_its_formulas_and_step_by_step_what_it_is_at_once(name: str) -> None:
    """Logits and weights, whatever the padding holds, and token after token with a cache."""
    model, plain = made(CONFIGS[name])
    source, target, lengths = jnp.asarray(SOURCE), jnp.asarray(TARGET), jnp.asarray(LENGTHS)
    run = jax.jit(lambda model, source: model(source, lengths, target, capture=Capture())[:3:2])
    logits, weights = run(model, source)
    assert list(weights) == ([] if name == "none" else ["decoder.cross_attention"])
    attention = weights.get("decoder.cross_attention")
    if name in ("luong", "bahdanau, coverage, copy"):
        for row, length in enumerate(LENGTHS):
            expected = literal(CONFIGS[name], plain, SOURCE[row, :length], TARGET[row])
            np.testing.assert_allclose(logits[row], expected[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(attention[row, 0, :, :length], expected[1], rtol=1e-4, atol=1e-6)
    if attention is not None:
        assert not np.asarray(attention)[1, :, :, 3:].any()
    other = run(model, source.at[1, 3:].set(7))[0]
    np.testing.assert_array_equal(other, logits)
    _, cache = model.start(source, lengths, bos=jnp.int32(1), room=0)
    step = jax.jit(lambda model, token, cache: model.attend(token, cache))
    for i in range(T):
        found, cache, looked = step(model, target[:, i : i + 1], cache)
        np.testing.assert_allclose(found[:, 0], logits[:, i], rtol=1e-4, atol=1e-5)
        if attention is not None:
            np.testing.assert_allclose(looked[:, 0], attention[:, 0, i], rtol=1e-4, atol=1e-6)
    assert cache.length.tolist() == [T, T]


@pytest.mark.parametrize("name", daily(CONFIGS, list(CONFIGS)[:2]))
def test_taps_read_without_a_trace_and_rows_are_those_of_the_whole(name: str) -> None:
    model, _ = made(CONFIGS[name])
    given = jnp.asarray(SOURCE), jnp.asarray(LENGTHS), jnp.asarray(TARGET)

    def run(capture: Any) -> Any:
        return jax.jit(lambda model: model(*given, capture=capture))(model)

    plain, read = run(Capture(hidden=True)), run(Taps(read="*"))
    np.testing.assert_array_equal(read.logits, plain.logits)
    np.testing.assert_array_equal(read.taps["decoder"], plain.hidden["decoder"])
    assert read.taps["encoder.0.states"].shape == (B, S, D)
    assert read.taps["decoder.0.states"].shape == (B, T, D)
    for path, weights in plain.weights.items():
        np.testing.assert_array_equal(read.taps[f"{path}.weights"], weights)
        rows = run(Taps(read="*.weights", rows=(2, 0))).taps
        np.testing.assert_array_equal(rows.pop(f"{path}.weights"), weights[:, :, [2, 0]])
        assert not rows


@pytest.mark.parametrize("name", ["luong", "bahdanau, coverage, copy"])
def test_what_taps_write_is_what_the_network_goes_on_with(name: str) -> None:
    """Weights that are given, by the formulas; scores and states in their place; gradients."""
    model, plain = made(CONFIGS[name])
    lengths, site = jnp.full(B, S), "decoder.cross_attention.{}"
    weights = np.random.default_rng(1).dirichlet(np.ones(S), (B, T))

    @jax.jit
    def run(write: Any) -> Any:
        capture = Taps(read=("*.states", site.format("*")), write=write)
        found = model(jnp.asarray(SOURCE), lengths, jnp.asarray(TARGET), capture=capture)
        return found.logits, found.taps

    logits, taps = run({site.format("weights"): patch(jnp.asarray(weights[:, None]))})
    for row in range(B):
        expected = literal(CONFIGS[name], plain, SOURCE[row], TARGET[row], weights[row])[0]
        np.testing.assert_allclose(logits[row], expected, rtol=1e-4, atol=1e-5)
    by_scores, _ = run({site.format("scores"): patch(jnp.log(weights)[:, None])})
    np.testing.assert_allclose(by_scores, logits, rtol=1e-4, atol=1e-5)
    others = {path: patch(x) for path, x in taps.items() if path.endswith(("out", "states", "weights"))}
    np.testing.assert_allclose(run(others)[0], logits, rtol=1e-4, atol=1e-5)

    for path in (site.format("heads"), "decoder.0.states", "encoder.0.states"):
        zeros = jnp.zeros_like(taps[path])
        slope, rise = value_and_slope(lambda x, path=path: run({path: add(x)})[0], zeros, step=0.01)[1:]
        assert abs(slope) > 0.01
        np.testing.assert_allclose(slope, rise, rtol=0.02)


def test_decoding_compiles_once_whatever_the_lengths_and_the_parameters() -> None:
    """Greedy and beam search; the tokens come with the weights of forced decoding."""
    model, _ = made(BAHDANAU)
    twice = nnx.merge(*moved(model, scale=2.0)[:2])
    options: dict[str, Any] = {"bos": 1, "eos": 2, "pad": 0, "max_length": 3}
    for strategy in (None, beams(2)):
        found = generate(model, jnp.asarray(SOURCE), jnp.asarray(LENGTHS), strategy=strategy, **options)
        programs = proceed._cache_size()
        for lengths, other in (([1, 4], model), ([5, 5], twice)):
            generate(other, jnp.asarray(SOURCE), jnp.array(lengths), strategy=strategy, **options)
        assert proceed._cache_size() == programs
    greedy = generate(
        model, jnp.asarray(SOURCE), jnp.asarray(LENGTHS), capture=Capture(rows=(0, 1)), **options
    )
    assert greedy.weights["decoder.cross_attention"].shape == (B, 1, 2, S)
    assert found.scores.shape == (B,)


@pytest.mark.parametrize("name", daily(CONFIGS, ["bahdanau, coverage, copy", "none"]))
def test_the_score_of_a_beam_is_that_of_its_tokens_given(name: str) -> None:
    """Beams that change places take the state along which they came."""
    model, _ = made(CONFIGS[name])
    given = jnp.asarray(SOURCE), jnp.asarray(LENGTHS)
    search = beams(4, length_penalty=0.0, best=4)
    found = generate(model, *given, strategy=search, bos=1, eos=2, pad=0, max_length=8).ranked
    assert found is not None
    for number in range(4):
        tokens = found.tokens[:, number]
        ended = tokens == 2
        counts = jnp.where(ended.any(1), jnp.argmax(ended, axis=1) + 1, 8)
        told = force(model, *given, tokens, counts=counts, bos=1).log_probs.sum(1)
        known = np.isfinite(found.scores[:, number])
        np.testing.assert_allclose(found.scores[known, number], told[known], rtol=1e-4)
        assert known.all() or number


@pytest.mark.parametrize("kind", CELLS)
def test_a_sequence_is_read_up_to_its_end_both_ways(kind: str) -> None:
    """In float64: the states of the inputs alone, whatever the padding holds."""
    with jax.enable_x64(True):
        cell = CELLS[kind](3, 4, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        graphdef, params, plain = moved(cell)
        x = DRAW.normal(size=(B, S, 3))
        inside = np.arange(S) < LENGTHS[:, None]
        read = jax.jit(
            lambda x, reverse: nnx.merge(graphdef, params).read(x, inside, reverse=reverse), static_argnums=1
        )
        for order in (1, -1):
            out = read(np.where(inside[..., None], x, 9.0), order < 0)
            for row, length in enumerate(LENGTHS):
                state = (np.zeros(4),) * cell.kept
                for i in range(length)[::order]:
                    state = {"lstm": lstm, "gru": gru}[kind](plain, state, x[row, i])
                    np.testing.assert_allclose(out[row, i], state[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"cross_mechanism": "aditive"},
            "cross_mechanism is 'aditive': unknown mechanism 'aditive'; did you mean additive",
        ),
        ({"cross_mechanism": "gla"}, "cross_mechanism is 'gla': gla is none that a recurrent decoder reads"),
        ({"cross_mechanism": "additive & stick_breaking"}, "stick_breaking is none that a recurrent decoder"),
        ({"cross_mechanism": "dot+general"}, "a recurrent decoder has one attention layer"),
        ({"cross_mechanism": None, "copy": True}, "copy is True: it needs attention"),
        ({"cross_mechanism": None, "order": "bahdanau"}, "order is 'bahdanau': it needs attention"),
        ({"cross_mechanism": "monotonic", "coverage": True}, "monotonic compares nothing that could see it"),
        ({"cell": "rnn"}, "cell is 'rnn'"),
        ({"dim": 7}, "dim is 7: it must be even"),
    ],
)
def test_what_does_not_fit_is_one_line(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        RecurrentConfig(**fields)
    assert "\n" not in str(error.value)


def test_calls_that_do_not_fit_are_named() -> None:
    copying, _ = made(BAHDANAU)
    given = jnp.asarray(SOURCE), jnp.asarray(LENGTHS), jnp.asarray(TARGET)
    with pytest.raises(ValueError, match=r"'decoder\.0\.weights': there is no such site; the nearest are "):
        copying(*given, capture=Taps(read="decoder.0.weights"))
    memory, lengths = jnp.ones((B, S, D)), jnp.asarray(LENGTHS)
    with pytest.raises(ValueError, match="source None: its tokens are copied"):
        copying.decode(jnp.asarray(TARGET), memory, lengths)
    with pytest.raises(ValueError, match="memory None"):
        copying.decode(jnp.asarray(TARGET), None, lengths)
    with pytest.raises(ValueError, match="source_vocab 8, target_vocab 9: copies need one vocabulary"):
        RecurrentEncoderDecoder(copying.config, source_vocab=8, target_vocab=9, rngs=nnx.Rngs(0))
