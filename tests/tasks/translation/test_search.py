"""Translations by the settings of the search: the same bits in any batch, n-best lists, unknown words."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.tokenizer import UNK, Tokenizer
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.loop import proceed
from attnjax.tasks.translation import constraints
from attnjax.tasks.translation.config import SearchConfig
from attnjax.tasks.translation.search import replaced, row_seeds
from attnjax.tasks.translation.task import TranslationTask

BEAMS = SearchConfig(beams=3, n_best=2, length_penalty="gnmt", coverage_penalty="wu", block_ngrams=2)
SEARCHES = {"greedy": SearchConfig(), "beams": BEAMS, "drawn": SearchConfig(temperature=1.5)}


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> TranslationTask:
    rng = np.random.default_rng(0)
    words = ["".join(rng.permutation(list("abcdefg"))[: rng.integers(2, 6)]) for _ in range(60)]
    path = tmp_path_factory.mktemp("corpus") / "train.tsv"
    path.write_text("".join(f"{word}\t{word.upper()}\n" for word in words))
    data = TranslationData(train=path, holdout=0.1)
    # So wide that XLA takes other products for one row, for few and for many.
    model = TransformerConfig(dim=64, heads=2, encoder_layers=1, decoder_layers=1, implementation="reference")
    return TranslationTask(data, model, batch_size=8)


@pytest.fixture(scope="module")
def params(task) -> Any:
    """Untrained but lively."""
    fresh = jax.jit(task.init)(jax.random.key(0))
    return jax.tree.map(lambda x: 3.0 * x if x.ndim > 1 else x, fresh)


def texts() -> list[str]:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("abcdefg"), rng.integers(1, 7))) for _ in range(35)]
    return [*words[:33], "abcdefgabcdefg", "gfedcbagfedcbaabc"]


def bits(translations: Any) -> list[Any]:
    """Texts with all that was computed for them, to the last bit."""
    return [
        (one.text, one.log_prob, one.score, one.piece_log_probs, one.alignment.tobytes())
        for best in translations
        for one in best.ranked()
    ]


@pytest.mark.parametrize(
    ("search", "count"),
    [
        pytest.param(SearchConfig(), 3, id="few"),
        *(
            # As XLA compiles for users, who get the same bits from products of all sizes.
            pytest.param(search, 35, id=name, marks=[pytest.mark.slow, pytest.mark.optimised])
            for name, search in SEARCHES.items()
        ),
    ],
)
def test_a_row_does_not_depend_on_its_batch(task, params, search, count) -> None:
    given = texts()[:count]
    # Wider texts have a program of their own: one search shows that they do not change the others.
    given = given if search.beams == 1 else given[:33]
    together = [bits([one]) for one in task.translate(params, given, search=search)]
    order = np.random.default_rng(2).permutation(len(given))
    for size in (1, 3) if count < 32 else (1, 3, 32):
        for first in range(0, min(len(order), len(order) if size > 3 else 3 * size), size):
            places = order[first : first + size]
            some = task.translate(params, [given[i] for i in places], search=search)
            assert [bits([one]) for one in some] == [together[i] for i in places], (size, first)
    assert len({str(row) for row in together}) > count // 2


def test_beams_in_places_of_others_need_no_other_program(task, params) -> None:
    proceed.clear_cache()
    task.translate(params, texts()[:12], search=SearchConfig(beams=2))
    assert proceed._cache_size() == 1


def test_n_best_lists_have_no_text_twice_and_scores_of_forced_decoding(task, params) -> None:
    for best in task.translate(params, texts()[:5], search=BEAMS):
        ranked = best.ranked()
        assert len({one.text for one in ranked}) == len(ranked) == 2
        assert ranked[0].score >= ranked[1].score
        for one in ranked:
            assert one.log_prob == pytest.approx(sum(one.piece_log_probs), rel=1e-5)
            grams = list(zip(one.target_pieces, one.target_pieces[1:], strict=False))
            assert len(set(grams)) == len(grams)
        assert best.record()["n_best"][1]["translation"] == ranked[1].text


@pytest.mark.slow
def test_a_prefix_banned_letters_and_a_least_length_are_kept(task, params) -> None:
    kept = dataclasses.replace(BEAMS, prefix="AB", ban=("C",), min_length=4, coverage_penalty="none")
    for one in task.translate(params, texts()[:5], search=kept):
        assert one.text.startswith("AB")
        assert "C" not in one.text
        assert len(one.target_pieces) >= 4


@pytest.mark.slow
def test_runs_of_one_shape_make_an_ensemble(task, params) -> None:
    alone = task.translate(params, ["abc"])
    both = task.joined(params, [("twin", task, params)])
    together = task.translate(both, ["abc"])
    assert [one.text for one in together] == [one.text for one in alone]
    assert together[0].log_prob == pytest.approx(alone[0].log_prob, rel=1e-4)


def test_an_ensemble_takes_the_mean_that_was_asked_for(task, params) -> None:
    other = jax.tree.map(lambda x: x[::-1] if x.ndim > 1 else x, params)

    def logs(params: Any) -> np.ndarray:
        (one,) = task.score(params, ["abc"], ["ABC"])
        return np.array(one.piece_log_probs)

    each, found = np.stack([logs(params), logs(other)]), {}
    for mean in ("probabilities", "log_probabilities"):
        task.search = SearchConfig(ensemble_mean=mean)
        found[mean] = logs(task.joined(params, [("other", task, other)]))
    np.testing.assert_allclose(found["probabilities"], np.log(np.exp(each).mean(0)), rtol=1e-4)
    # What is a distribution again lies above the plain mean.
    assert (found["log_probabilities"] > each.mean(0) + 1e-3).all()
    assert not np.allclose(found["log_probabilities"], found["probabilities"], rtol=1e-2)


def test_a_run_with_other_tokens_is_refused_in_an_ensemble(task, params, tmp_path) -> None:
    path = tmp_path / "other.tsv"
    path.write_text("".join(f"x{n}\ty{n}\n" for n in range(20)))
    other = TranslationTask(TranslationData(train=path, holdout=0.1), task.config, batch_size=4)
    with pytest.raises(InputError, match="other has other source tokens"):
        task.joined(params, [("other", other, params)])


def test_an_unknown_token_becomes_the_piece_that_it_looks_at() -> None:
    tokenizer = Tokenizer.train(["a word"], "characters")
    tokens = [*tokenizer.encode(["a "])[0], UNK, *tokenizer.encode(["w"])[0]]
    weights = np.eye(4, 3)[[0, 1, 2, 0]]
    assert replaced(tokens, weights, ["x", "y", "ß"], tokenizer) == "a ßw"
    assert replaced(tokens, weights, [], tokenizer) == "a w"


def test_seeds_are_of_the_text_and_the_number_of_the_sample() -> None:
    rows = [[4, 5], [4], [4, 5]]
    seeds = row_seeds(rows, 0)
    assert seeds[0] == seeds[2] != seeds[1]
    assert seeds[0] not in (row_seeds(rows, 1)[0], row_seeds(rows, 0, 1)[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beams": 0}, "search.beams is 0: expected a whole number, 1 or more"),
        ({"n_best": 2}, "search.n_best is 2: expected no more than the beams, 1"),
        ({"length_penalty": "wu"}, "search.length_penalty is 'wu': expected one of none, average, gnmt"),
        ({"max_ratio": 0.0}, "search.max_ratio is 0.0: expected a number above 0"),
        ({"temperature": math.inf}, "search.temperature is inf: expected a number above 0"),
        ({"beta": math.nan}, "search.beta is nan: expected a number, 0 or more"),
        ({"min_length": 9, "max_length": 5}, "search.min_length is 9: expected at most search.max_length, 5"),
        ({"min_ratio": 2.0, "max_ratio": 1.5}, "search.min_ratio is 2.0: expected at most search.max_ratio"),
        ({"seed": 2**63}, "search.seed is 9223372036854775808: expected a number of at most 64 bits"),
        ({"samples": 3}, "search.samples needs search.temperature"),
        ({"temperature": 1.0, "beams": 2}, "search.temperature comes with search.beams"),
    ],
)
def test_settings_out_of_range_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchConfig(**fields)


def with_phrases(task: TranslationTask) -> list[Any]:
    """Texts whose constraints need programs with other room, and some without any."""
    phrases = [("GA",), ("B", "FED"), (), ("CCC", "AB"), ("ABCD", "GG")]
    return [task.constrained(text, own) for text, own in zip(texts(), phrases * 7, strict=True)]


@pytest.mark.parametrize(
    ("count", "programs"), [(3, 2), pytest.param(7, 3, marks=[pytest.mark.slow, pytest.mark.optimised])]
)
def test_constraints_are_kept_and_a_row_does_not_depend_on_its_batch(
    task, params, monkeypatch, count, programs
) -> None:
    monkeypatch.setattr(constraints, "ROOM", 4)
    given = with_phrases(task)[:count]
    proceed.clear_cache()
    task.search = SearchConfig(beams=3)
    together = task.predict(params, given)
    for one, asked in zip(together, given, strict=True):
        assert all(phrase in one.text for phrase in asked.phrases), (one.text, asked)
        assert one.log_prob == pytest.approx(sum(one.piece_log_probs), rel=1e-5)
    expected = [bits([one]) for one in together]
    order = np.random.default_rng(2).permutation(count)
    for size in {1, 3, count}:
        for first in range(0, count, size):
            places = order[first : first + size]
            some = task.predict(params, [given[i] for i in places])
            assert [bits([one]) for one in some] == [expected[i] for i in places], (size, first)
    (plain,) = task.predict(params, [given[2].text])
    assert bits([plain]) == expected[2]
    assert proceed._cache_size() == programs


@pytest.mark.parametrize(
    ("phrases", "fields", "message"),
    [
        (["AB"], {"beams": 1}, "c:3: search.beams is 1: constraints need 2 or more"),
        (["A", "ß"], {}, "c:3: the constraint 'ß' has tokens that the run does not know"),
        (["DAB"], {"ban": ("X", "AB")}, "c:3: the constraint 'DAB' has what search.ban forbids: AB"),
        (
            ["ABCD", "DCBA"],
            {},
            "c:3: the constraints side by side make 8 tokens, .* at most 6",
        ),
        (["ABC"], {"max_ratio": 1.0}, "c:3: the constraints side by side make 3 tokens, a .* at most 2"),
        (["AB"], {"prefix": "ABCDE", "max_length": 4}, "make 5 tokens, a translation has at most 4"),
    ],
)
def test_constraints_that_cannot_be_are_named(task, params, phrases, fields, message) -> None:
    task.search = SearchConfig(**{"beams": 2, **fields})
    with pytest.raises(InputError, match=message):
        task.predict(params, [task.constrained("ab", phrases, "c:3: ")])
