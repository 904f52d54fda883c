"""Beam search for translation: against literal loops in NumPy and against all sequences there are."""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import (
    Ensemble,
    Transformer,
    TransformerConfig,
    beams,
    contrastive_search,
    force,
    generate,
    rules,
    sampling,
)
from attnjax.models.decoding.loop import Marks, Structure, begin, proceed
from attnjax.models.decoding.penalties import coverage_penalty, length_penalty
from attnjax.models.decoding.rules import bounded
from attnjax.nn import Capture
from tests.daily import daily

PAD, BOS, EOS = 0, 1, 2
VOCAB, LENGTH = 6, 4
MARKS = {"bos": BOS, "eos": EOS, "pad": PAD}
ALL = VOCAB ** (LENGTH - 1)


def lively(seed: int = 0) -> Transformer:
    config = TransformerConfig(
        dim=8, heads=2, encoder_layers=1, decoder_layers=1, hidden=16, implementation="reference"
    )
    model = Transformer(config, source_vocab=13, target_vocab=VOCAB, rngs=nnx.Rngs(seed))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 3.0 * leaf if leaf.ndim > 1 else leaf, state))
    return model


@pytest.fixture(scope="module")
def model() -> Transformer:
    return lively()


def sources() -> tuple[jax.Array, jax.Array]:
    return jax.random.randint(jax.random.key(5), (3, 4), 3, 13), jnp.array([4, 2, 3])


@pytest.fixture(scope="module")
def everything(model: Transformer) -> tuple[list[tuple[int, ...]], np.ndarray, np.ndarray]:
    """All sequences that end or are full, their log probabilities [B, N] and coverage [B, N, S]."""
    texts = [
        text
        for n in range(1, LENGTH + 1)
        for text in itertools.product(range(VOCAB), repeat=n)
        if EOS not in text[:-1] and (text[-1] == EOS or n == LENGTH)
    ]
    rows = np.full((len(texts), LENGTH), PAD)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = text
    target = np.concatenate([np.full((len(rows), 1), BOS), rows[:, :-1]], axis=1)
    run = jax.jit(lambda s, n: _teacher(model, s, n, jnp.asarray(target)))
    counts = np.arange(LENGTH) < np.array([len(text) for text in texts])[:, None]
    sums, coverage = [], []
    for source, length in zip(*sources(), strict=True):
        logits, weights = map(np.float64, run(source, length))
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        sums.append((np.take_along_axis(logs, rows[..., None], -1)[..., 0] * counts).sum(-1))
        coverage.append((weights * counts[..., None]).sum(1))
    return texts, np.stack(sums), np.stack(coverage)


def _ended(text: list[int]) -> tuple[int, ...]:
    return tuple(text[: text.index(EOS) + 1] if EOS in text else text)


def _teacher(model: Transformer, source: Any, length: Any, target: Any) -> tuple[jax.Array, jax.Array]:
    count = len(target)
    given = jnp.broadcast_to(source, (count, len(source))), jnp.broadcast_to(length, (count,))
    out = model(*given, target, capture=Capture())
    return out.logits, out.weights["decoder.0.cross_attention"].mean(1)


def literal_score(total: float, n: int, coverage: np.ndarray, source: int, form: Any, kind: Any) -> float:
    """As onmt.translate.penalties has them, in plain loops; the padding of the source does not count."""
    alpha, beta = 0.7, 0.3
    by = {"none": 1.0, "average": float(n), "gnmt": ((5 + n) / 6.0) ** alpha}[form]
    lacking = 0.0
    for c in coverage[:source]:
        if kind == "wu":
            lacking -= math.log(min(c, 1.0))
        elif kind == "summary":
            lacking += max(c, 1.0) - 1.0
    return total / by - beta * lacking


FORMS = {"none": (0.0, "power"), "average": (1.0, "power"), "gnmt": (0.7, "gnmt")}


@pytest.mark.parametrize(
    ("form", "kind"),
    daily([("none", None), ("average", "wu"), ("gnmt", "summary")], [("average", "wu"), ("gnmt", "summary")]),
)
def test_with_beams_enough_the_search_is_exhaustive(
    model: Transformer, everything: Any, form: str, kind: Any
) -> None:
    texts, sums, coverage = everything
    degree, named = FORMS[form]
    strategy = beams(ALL, length_penalty=degree, form=named, coverage=kind, beta=0.3, best=7, early="never")
    source, lengths = sources()
    ranked = generate(model, source, lengths, strategy=strategy, max_length=LENGTH, **MARKS).ranked
    for row, n in enumerate(lengths.tolist()):
        scores = [
            literal_score(sums[row, i], len(text), coverage[row, i], n, form, kind)
            for i, text in enumerate(texts)
        ]
        order = np.argsort(scores)[::-1][:7]
        np.testing.assert_allclose(ranked.scores[row], np.array(scores)[order], rtol=2e-5)
        found = [
            tuple(text[: text.index(EOS) + 1] if EOS in text else text)
            for text in ranked.tokens[row].tolist()
        ]
        assert found == [texts[i] for i in order]


def test_penalties_are_their_formulas() -> None:
    n = np.arange(1, 9)
    np.testing.assert_allclose(length_penalty(n, 1.0), n)
    np.testing.assert_allclose(length_penalty(n, 0.6, "gnmt"), ((5 + n) / 6) ** 0.6, rtol=1e-6)
    coverage = np.array([[0.2, 1.7, 0.0], [1.0, 1.2, 0.0]])
    present = np.array([[True, True, False], [True, True, False]])
    np.testing.assert_allclose(coverage_penalty(coverage, present, "wu"), [-np.log(0.2), 0], atol=1e-7)
    np.testing.assert_allclose(coverage_penalty(coverage, present, "summary"), [0.7, 0.2], rtol=1e-6)
    assert np.isfinite(coverage_penalty(np.zeros((1, 2)), np.ones((1, 2), bool), "wu")).all()


@pytest.mark.parametrize("degree", [2.5, -1.5])
def test_the_search_stops_when_no_beam_can_win_and_not_before(degree: float) -> None:
    """A model of our own, whose likely long sequence overtakes by its length alone, after the others end."""
    steps = 9

    class Given(nnx.Module):
        continues = False

        def start(self, inputs: Any, lengths: Any, *, bos: Any, room: int) -> Any:
            return jnp.full(len(inputs), bos), jnp.zeros(len(inputs), jnp.int32)

        def extend(self, tokens: Any, cache: Any) -> Any:
            stay = jnp.log(jnp.array([1e-9, 1e-9, 0.5, 0.49, 0.01, 1e-9]))
            logits = jnp.broadcast_to(stay, (*tokens.shape, VOCAB))
            return logits, cache + 1, logits

    def best(early: Any) -> tuple[list[int], float]:
        strategy = beams(2, length_penalty=degree, best=1, early=early)
        one, length = jnp.ones((1, 1), int), jnp.ones(1, int)
        given = generate(Given(), one, length, strategy=strategy, max_length=steps, **MARKS)
        return given.tokens[0].tolist(), float(given.scores[0])

    def score(text: list[int]) -> float:
        p = {2: 0.5, 3: 0.49, 4: 0.01}
        return sum(math.log(p[t] / (1 + 3e-9)) for t in text) / len(text) ** degree

    texts = [[3] * n + [2] for n in range(steps)] + [[3] * steps]
    expected = max(texts, key=score)
    tokens, found = best("never")
    assert tokens[: len(expected)] == expected
    assert found == pytest.approx(score(expected), rel=1e-4)
    if degree > 0:
        assert len(expected) == steps
        assert best(True)[0][0] == EOS, "who stops at the first end should miss it"
    assert not jax.tree.leaves(nnx.state(Given()))


def literally_allowed(
    text: list[int], source: int, given: dict[str, Any], prefix: list[int], room: int
) -> list[int]:
    most = room - 1
    if given.get("max_length") is not None:
        most = min(most, given["max_length"])
    if given.get("max_ratio") is not None:
        most = min(most, max(1, math.ceil(given["max_ratio"] * source - 1e-4)))
    least = max(given.get("min_length", 0), math.ceil(given.get("min_ratio", 0) * source - 1e-4))
    if len(text) < len(prefix) and prefix[len(text)] != -1:
        return [prefix[len(text)]]
    size, left = given.get("block", 0), []
    for token in range(VOCAB):
        if len(text) >= most:
            fine = token == EOS
        else:
            fine = token != EOS or len(text) >= least
        longer = [*text, token]
        for sequence in given.get("banned", ()):
            fine &= longer[-len(sequence) :] != list(sequence)
        if size:
            grams = [text[i : i + size] for i in range(len(text) - size + 1)]
            exempt = set(longer[-size:]) & set(given.get("exempt", ()))
            fine &= longer[-size:] not in grams or bool(exempt)
        if fine:
            left.append(token)
    return left or [EOS]


RULES: list[dict[str, Any]] = [
    {"min_length": 3, "max_length": 5, "banned": [[3], [4, 5]]},
    {"min_ratio": 1.1, "max_ratio": 2.0, "block": 2, "exempt": [5]},
    {"block": 1},
    {"block": 3, "banned": [[0], [1]]},
]


@pytest.mark.parametrize("given", RULES, ids=str)
def test_rules_are_what_literal_loops_say(given: dict[str, Any]) -> None:
    random, room, rows = np.random.default_rng(0), 9, 300
    tokens = random.integers(3, VOCAB, (rows, room))
    length, source = random.integers(0, room, rows), random.integers(1, 6, rows)
    prefix = np.where(random.random((rows, 3)) < 0.2, random.integers(3, VOCAB, (rows, 3)), -1)
    bound = bounded(rules(**given), jnp.asarray(source), jnp.asarray(prefix), room)
    marks = Marks(jnp.array([EOS]), jnp.int32(PAD))
    found = jax.jit(lambda t, n: bound.allowed(t, n, VOCAB, marks))(tokens, length)
    for row in range(rows):
        text = tokens[row, : length[row]].tolist()
        expected = literally_allowed(text, int(source[row]), given, prefix[row].tolist(), room)
        assert np.flatnonzero(found[row]).tolist() == expected, (text, source[row], prefix[row])


def test_the_scores_are_those_of_forced_decoding_and_rules_change_none(model: Transformer) -> None:
    source, lengths = sources()
    prefix = jnp.array([[-1, -1], [4, -1], [5, 3]])
    strategy = beams(3, length_penalty=0.0, early="never")
    kept = rules(min_length=2, block=2, banned=[[PAD], [BOS]])
    options: dict[str, Any] = {"rules": kept, "prefix": prefix, "max_length": 7, **MARKS}
    given = generate(model, source, lengths, strategy=strategy, **options)
    texts = given.ranked.tokens
    for place in range(3):
        counts = jnp.argmax(texts[:, place] == EOS, axis=1) + 1
        forced = force(model, source, lengths, texts[:, place], counts=counts, bos=BOS)
        np.testing.assert_allclose(forced.log_probs.sum(1), given.ranked.scores[:, place], rtol=1e-5)
    np.testing.assert_allclose(forced.alignment.sum(-1), 1.0, rtol=1e-5)
    assert (texts[1, :, 0] == 4).all()
    assert (texts[2, :, :2] == jnp.array([5, 3])).all()
    assert len({tuple(text) for text in texts[0].tolist()}) == 3
    drawn = generate(
        model, source, lengths, strategy=sampling(temperature=2.0), key=jax.random.key(0), **options
    )
    assert (drawn.lengths >= 2).all()
    assert drawn.tokens[2, :2].tolist() == [5, 3]
    with pytest.raises(ValueError, match="keeps no rules"):
        generate(model, source, lengths, strategy=contrastive_search(2, penalty=0.5), **options)


@pytest.mark.parametrize("mean", daily(["probabilities", "log_probabilities"], ["probabilities"]))
def test_an_ensemble_averages_at_each_step(model: Transformer, mean: Any) -> None:
    source, lengths = sources()
    models = [model, lively(1)]
    together = Ensemble(models, mean=mean)
    tokens = jnp.array([[4, 5, 2], [3, 0, 2], [5, 2, 0]])
    counts = jnp.array([3, 3, 2])
    target = jnp.concatenate([jnp.full((3, 1), BOS), tokens[:, :-1]], axis=1)
    each = np.stack([_softmax(nnx.split(m), source, lengths, target) for m in models]).astype(np.float64)
    p = each.mean(0) if mean == "probabilities" else np.sqrt(each[0] * each[1])
    logs = np.log(np.take_along_axis(p / p.sum(-1, keepdims=True), np.asarray(tokens)[..., None], -1)[..., 0])
    logs *= np.arange(3) < np.asarray(counts)[:, None]
    forced = force(together, source, lengths, tokens, counts=counts, bos=BOS)
    np.testing.assert_allclose(forced.log_probs, logs, rtol=1e-4)
    if mean == "probabilities":
        strategy = beams(2, length_penalty=0.0)
        given = generate(together, source, lengths, strategy=strategy, max_length=3, **MARKS)
        counts = jnp.minimum(given.lengths + 1, 3)
        forced = force(together, source, lengths, given.tokens, counts=counts, bos=BOS)
        np.testing.assert_allclose(forced.log_probs.sum(1), given.scores, rtol=1e-4)


def test_a_row_stops_when_nothing_that_its_rules_allow_can_pass_its_best(model: Transformer) -> None:
    """In longer arrays a running beam might: by the mean, all tokens still to come could be certain."""
    source, lengths = sources()
    strategy = beams(4, length_penalty=0.5, early="never", best=1)
    marks = Marks(jnp.array([EOS]), jnp.int32(PAD))
    graphdef, params = nnx.split(model, nnx.Param)
    structure = Structure(graphdef)

    def steps(room: int, most: int) -> np.ndarray:
        kept = bounded(rules(max_length=most), lengths, None, room)
        given = strategy, source, lengths, jnp.int32(BOS), None, marks, kept
        state = begin(structure, params, *given, length=room)
        state = proceed(structure, params, strategy, state, marks, jnp.int32(room), jnp.int32(99))
        return np.asarray(state.emitted.length.reshape(3, -1)[:, 0])

    np.testing.assert_array_equal(steps(80, 20), steps(21, 20))
    assert (steps(80, 20) < steps(80, 79)).all()


@functools.partial(jax.jit, static_argnums=0)
def _apply(graphdef: Any, params: Any, *given: jax.Array) -> jax.Array:
    return jax.nn.softmax(nnx.merge(graphdef, params)(*given).logits)


def _softmax(split: tuple[Any, Any], *given: jax.Array) -> np.ndarray:
    return np.asarray(_apply(*split, *given))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: beams(0), "beams 0: expected a whole number, 1 or more"),
        (lambda: beams(2, best=3), "best 3: expected a whole number from 1 to the 2 beams"),
        (lambda: beams(2, form="wu"), "form 'wu': expected one of 'power', 'gnmt'"),
        (lambda: beams(2, coverage="gnmt"), "coverage 'gnmt': expected one of None, 'summary', 'wu'"),
        (lambda: beams(2, beta=-1.0), "beta -1.0: expected 0 or more"),
        (lambda: rules(min_length=-1), "min_length -1: expected a whole number, 0 or more"),
        (lambda: rules(max_length=0), "max_length 0: expected a whole number, 1 or more"),
        (lambda: rules(max_ratio=0.0), "max_ratio 0.0: expected above 0"),
        (lambda: rules(banned=[[]]), "banned: a sequence is empty"),
        (lambda: Ensemble([]), "models: expected 1 or more"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
