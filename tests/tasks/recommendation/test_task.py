"""Recommendation: what is trained on, the losses and the ranking by their formulas, and the answers."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.interactions.config import InteractionData, PlantedLogData
from attnjax.data.interactions.parts import Asked
from attnjax.data.synthetic.questions import Split
from attnjax.models.recommender_config import InterestConfig, RecommenderConfig
from attnjax.tasks.metrics.ranking import ranking_metrics
from attnjax.tasks.recommendation.answers import Answered
from attnjax.tasks.recommendation.baselines import baseline_places, baselines
from attnjax.tasks.recommendation.config import ItemLossConfig, RankingConfig
from attnjax.tasks.recommendation.examples import Examples
from attnjax.tasks.recommendation.interest import InterestTask
from attnjax.tasks.recommendation.task import RecommendationTask

DATA = InteractionData(planted=PlantedLogData(users=30, items=24, groups=6, events=14, gap=4), length=8)
MODEL = RecommenderConfig(
    dim=8, heads=2, layers=1, hidden=8, positions="learned", max_length=8, implementation="reference"
)


@pytest.fixture(scope="module")
def task() -> RecommendationTask:
    return RecommendationTask(DATA, MODEL, batch_size=6)


@pytest.fixture(scope="module")
def params(task: RecommendationTask) -> Any:
    return task.init(jax.random.key(0))


@pytest.fixture
def log_scores(task: RecommendationTask, params: Any) -> np.ndarray:
    """The scores of all items before each event of the test, by the method that answers use."""
    arrays = task.examples.asked(task.parts.test, Split.TEST)
    given = {name: arrays[name] for name in ("items", "lengths", "times")}
    return np.asarray(task.infer(task.all_scores, params, given, rows=32), np.float64)


def test_targets_are_the_next_items_and_none_is_of_validation_or_test(task: RecommendationTask) -> None:
    seen = set()
    for step in range(30):
        batch = task.batch(step)
        for items, targets, length in zip(batch["items"], batch["targets"], batch["lengths"], strict=True):
            assert (items[1:length] == targets[: length - 1]).all()
            assert (targets[length:] == -1).all()
            window = [*items[:length].tolist(), int(targets[length - 1])]
            found = [
                (user, start)
                for user in range(30)
                for start in range(14 - len(window) + 1)
                if task.log.of_user(user)[start : start + len(window)].tolist() == window
            ]
            assert found
            assert any(start + len(window) <= 12 for _, start in found)
            seen |= {(user, start) for user, start in found if start + len(window) <= 12}
    assert {user for user, _ in seen} == set(range(30))
    assert {start for _, start in seen} == {0, 1, 2, 3}  # Every window of 9 in 12 events.
    again = task.batch(3)
    assert all((again[name] == x).all() for name, x in task.batch(3).items())


def test_each_event_but_the_first_is_a_last_target(task: RecommendationTask) -> None:
    """Of a network of interest, which learns from the last event of a window alone."""
    loss = ItemLossConfig("bce", negatives=3)
    interest = InterestTask(DATA, InterestConfig(), loss=loss, batch_size=30)
    asked = set()
    for step in range(120):
        batch = interest.batch(step)
        for items, targets, length in zip(batch["items"], batch["targets"], batch["lengths"], strict=True):
            window = [*items[:length].tolist(), int(targets[length - 1])]
            assert len(window) >= 2
            asked |= {
                (user, end)
                for user in range(30)
                for end in range(2, 13)
                if task.log.of_user(user)[max(0, end - 9) : end].tolist() == window
            }
    assert asked == {(user, end) for user in range(30) for end in range(2, 13)}


def test_masked_events_are_the_targets_of_their_places(task: RecommendationTask) -> None:
    loss = ItemLossConfig("gbce", negatives=5, masked=0.3)
    examples = Examples(task.parts, DATA, loss, causal=False, batch_size=20)
    shares, alone = [], 0
    for step in range(20):
        batch = examples.batch(step)
        masked = batch["items"] == 24
        assert ((batch["targets"] >= 0) == masked).all()
        assert masked.any(1).all()
        assert batch["negatives"].shape == (20, 5)
        alone += int((masked.sum(1) == 1).sum())
        shares.append(masked.mean())
    assert 0.25 < np.mean(shares) < 0.33
    assert alone > 20
    asked = examples.asked(task.parts.test, Split.TEST)
    assert (asked["items"][:, 7] == 24).all()
    assert (asked["items"][0, :7] == task.log.of_user(0)[-8:-1]).all()


def test_the_loss_is_its_formula_in_the_scores(task: RecommendationTask, params: Any) -> None:
    """Over all items, and gBCE of the items that were drawn, from one set of states."""
    gbce = RecommendationTask(DATA, MODEL, loss=ItemLossConfig("gbce", negatives=6), batch_size=6)
    batch = gbce.batch(0)

    @jax.jit
    def found(params: Any, batch: Any) -> Any:
        losses = [x.loss(params, batch, dropout=None, hyper={"calibration": 0.6})[0] for x in (task, gbce)]
        model = task.model(params)
        return losses, model(batch["items"], lengths=batch["lengths"]).states, model.table

    (full, drawn), states, table = found(params, batch)
    expected_full, expected_drawn, alpha = [], [], 6 / 23
    beta = alpha * (0.6 * (1 - 1 / alpha) + 1 / alpha)
    for row, length in enumerate(batch["lengths"]):
        for place in range(length):
            scores = np.asarray(states[row, place], np.float64) @ np.asarray(table, np.float64).T
            target = batch["targets"][row, place]
            expected_full.append(np.log(np.exp(scores).sum()) - scores[target])
            others = [scores[i] for i in batch["negatives"][row] if i != target]
            against = sum(math.log(1 + math.exp(s)) for s in others)
            expected_drawn.append((beta * math.log(1 + math.exp(-scores[target])) + against) / 7)
    np.testing.assert_allclose([full, drawn], [np.mean(expected_full), np.mean(expected_drawn)], rtol=1e-5)


def test_the_ranking_is_of_all_items_but_those_seen(
    task: RecommendationTask, params: Any, log_scores: np.ndarray, tmp_path: Path
) -> None:
    hits, gains = [], []
    for user, scores in enumerate(log_scores):
        *history, target = task.log.of_user(user).tolist()
        ranking = [i for i in np.argsort(-scores) if i not in history]
        place = ranking.index(target) if target in ranking else math.inf
        hits.append(place < 10)
        gains.append(1 / math.log2(place + 2) if place < 10 else 0)
    found = task.evaluate(params, tmp_path)
    metrics, picture = found.metrics, found.figures[0]
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert metrics["model"]["HR@10"] == pytest.approx(np.mean(hits), abs=1e-4)
    assert metrics["model"]["NDCG@10"] == pytest.approx(np.mean(gains), abs=1e-4)
    assert metrics["best possible"]["NDCG@10"] > metrics["popularity"]["NDCG@10"]
    assert set(metrics) == {"model", "popularity", "bigram", "item-kNN", "best possible"}
    # Validation asks for the event before.
    moved = replace(task.parts, test=task.parts.validation)
    assert moved.test.at.tolist() == (task.parts.test.at - 1).tolist()
    assert set(task.validate(params)) == {"hr", "ndcg", "mrr"}


def test_baselines_are_counted_from_training_alone(task: RecommendationTask) -> None:
    trained = [task.log.of_user(user)[:-2].tolist() for user in range(30)]
    histories = [np.array([3, 5, 3]), np.array([7])]
    scores = {name: x(histories) for name, x in baselines(task.parts, None).items()}
    counts = np.bincount(np.concatenate(trained), minlength=24)
    np.testing.assert_array_equal(scores["popularity"][0], counts)
    pairs, users = np.zeros((24, 24)), np.zeros((30, 24))
    for user, items in enumerate(trained):
        users[user, items] = 1
        for a, b in pairwise(items):
            pairs[a, b] += 1
    rest = counts / (counts.sum() + 1)
    every = baselines(task.parts, None)["bigram"]([np.array([i]) for i in range(24)])
    np.testing.assert_allclose(every, pairs + rest, rtol=1e-5)
    np.testing.assert_array_equal(scores["bigram"], every[[3, 7]])
    norms = np.linalg.norm(users, axis=0)
    cosines = users.T @ users / np.maximum(np.outer(norms, norms), 1e-9) * (1 - np.eye(24))
    np.testing.assert_allclose(scores["item-kNN"], [cosines[[3, 5]].sum(0), cosines[7]], rtol=1e-5)
    asked = Asked(task.parts.test.users[:4], task.parts.test.at[:4])
    targets = task.log.items[asked.at]
    places = baseline_places(
        baselines(task.parts, None)["popularity"], task.parts, asked, targets, exclude_seen=False
    )
    for target, above, tied in zip(targets, places.above, places.tied, strict=True):
        assert (above, tied) == ((counts > counts[target]).sum(), (counts == counts[target]).sum() - 1)
    assert ranking_metrics(places, 24)["MRR"] > 0


def test_answers_name_the_past_items_whose_deletion_changes_the_score(
    task: RecommendationTask, params: Any
) -> None:
    task.search = RankingConfig(k=3, because=2)
    known, history, near = task.predict(
        params, [task.read_input(text) for text in ("4", "items: 3, 9, 5", "similar: 3")]
    )
    user = task.log.of_user(4)
    assert [one.item for one in known.items] == [
        one.item for one in known.items if int(one.item) not in user.tolist()
    ]
    assert len(known.items) == len(near.items) == 3
    assert "3" not in [one.item for one in near.items]

    def score(items: list[int], item: str) -> float:
        arrays = {"items": np.zeros((1, 8), np.int32), "times": np.zeros((1, 8), np.int32)}
        arrays["items"][0, : len(items)] = items
        arrays["lengths"] = np.array([len(items)], np.int32)
        return float(task.infer(task.all_scores, params, arrays)[0, int(item)])

    past = [3, 9, 5]
    for one in history.items:
        whole = score(past, one.item)
        assert one.score == pytest.approx(whole, abs=1e-5)
        effects = {str(item): whole - score([x for x in past if x != item], one.item) for item in past}
        assert {b.title: pytest.approx(b.effect, abs=1e-5) for b in one.because} == {
            name: effects[name] for name in sorted(effects, key=lambda n: -abs(effects[n]))[:2]
        }
        assert all(0 < b.attention < 1 for b in one.because)
    assert "← " in history.ranked()[0].text
    assert len(history.details()["because"]) == 3


def test_cold_users_candidates_and_the_seen_are_answered_honestly(
    task: RecommendationTask, params: Any
) -> None:
    cold = task.read_input("nobody")
    task.search = RankingConfig(k=2, because=0)
    (answer,) = task.predict(params, [cold])
    counts = task.parts.counts()
    assert [int(one.item) for one in answer.items] == np.argsort(-counts, kind="stable")[:2].tolist()
    assert answer.text.startswith("user 'nobody' has no event in the log: these are what was taken most")
    seen = task.log.of_user(4)[0]
    task.search = RankingConfig(k=5, because=0, candidates=(str(seen), "1", "2"), exclude_seen=False)
    (answer,) = task.predict(params, [task.read_input("4")])
    assert {one.item for one in answer.items} == {str(seen), "1", "2"}
    task.search = replace(task.search, exclude_seen=True)
    assert str(seen) not in {x.item for x in task.predict(params, [task.read_input("4")])[0].items}
    assert Answered([]).text == "no item is left to rank"


@pytest.fixture
def own(tmp_path: Path) -> InteractionData:
    """A log in which u9 and i9 have too few events, i9 two of them; its titles are no table."""
    rows = [f"u{user},i{(user * step) % 5},{step}" for user in range(1, 9) for step in range(1, 7)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time", *rows, "u9,i9,1", "u9,i9,2"]) + "\n")
    (tmp_path / "titles.csv").write_text("item\ni1\n")
    return InteractionData(log=tmp_path / "log.csv", length=8)


def test_users_and_items_with_too_few_events_are_told_so(own: InteractionData, params: Any) -> None:
    task = RecommendationTask(own, MODEL, batch_size=6)
    (answer,) = task.predict(task.init(jax.random.key(0)), [task.read_input("u9")])
    assert answer.text.startswith(
        "user 'u9' has 2 events in the log, of which fewer than data.user_events (3) count: these are what"
    )
    with pytest.raises(InputError, match=r"item 'i9' has 2 events .*fewer than data.item_events \(1\) count"):
        task.read_input("similar: i9")


def test_titles_are_read_before_training(own: InteractionData) -> None:
    with pytest.raises(InputError, match=r"titles.csv: one column alone"):
        RecommendationTask(replace(own, titles=own.log.with_name("titles.csv")), MODEL, batch_size=6)


def test_a_baseline_that_is_left_out_is_told(task: RecommendationTask, monkeypatch) -> None:
    assert not any("item-kNN" in note for note in task.notes)
    for module in ("task", "baselines"):
        monkeypatch.setattr(f"attnjax.tasks.recommendation.{module}.MOST_PAIRS", 100)
    assert "item-kNN" not in baselines(task.parts, None)
    assert task.notes[-1] == "item-kNN is left out: 4320 pairs of events of one user, above 100"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items: 3, 99", "item '99' was never seen: the log has 24, such as 0, 1, 2"),
        ("items: ", "'items:' has no item: expected items: and names of items"),
        ("similar: 1, 2", "'similar: 1, 2' has 2 items: expected one"),
    ],
)
def test_what_is_asked_badly_is_one_line(task: RecommendationTask, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task.read_input(text)


def test_a_deep_interest_network_ranks_by_the_scores_that_it_answers_with(
    params: Any, tmp_path: Path
) -> None:
    loss = ItemLossConfig("bce", negatives=4)
    task = InterestTask(DATA, InterestConfig(dim=4, unit_hidden=(4,), hidden=(4,)), loss=loss, batch_size=6)
    own = task.init(jax.random.key(0))
    arrays = task.examples.asked(task.parts.test, Split.TEST)
    given = {name: arrays[name] for name in ("items", "lengths", "times")}
    scores = np.asarray(task.infer(task.all_scores, own, given, rows=32))
    places = task._places(own, arrays, listed=False)
    for user in range(30):
        *history, target = task.log.of_user(user).tolist()
        ranking = [i for i in np.argsort(-scores[user]) if i not in history]
        expected = ranking.index(target) if target in ranking else 24
        assert abs(places.above[user] - expected) <= places.tied[user]
    batch = task.batch(0)
    loss_now, metrics = jax.jit(lambda p, b: task.loss(p, b, dropout=None))(own, batch)
    assert 0.5 < float(loss_now) < 0.9  # Near log 2 for any start.
    assert float(metrics["weight"]) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ItemLossConfig("hinge"), "loss.kind is 'hinge': it must be one of full, sampled, bce, gbce"),
        (lambda: ItemLossConfig(negatives=0), "loss.negatives is 0"),
        (lambda: ItemLossConfig(calibration=1.5), "loss.calibration is 1.5"),
        (lambda: ItemLossConfig(masked=0), "loss.masked is 0"),
        (lambda: RankingConfig(k=0), "k is 0: it must be 1 or more"),
        (lambda: RankingConfig(because=-1), "because is -1"),
        (
            lambda: RecommendationTask(replace(DATA, length=9), MODEL, batch_size=6),
            "model.max_length is 8: histories need 9 learned positions",
        ),
        (
            lambda: InterestTask(DATA, InterestConfig(), loss=ItemLossConfig(), batch_size=6),
            "loss.kind is 'full': a model that reads the history for each item anew",
        ),
    ],
)
def test_bad_settings_are_one_line(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
