"""ROAR: what is removed, place by place; without the deciding tokens a label cannot be learned."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError, loss_fields
from attnjax.data.synthetic.planted import MASK, START, PlantedData, make_planted
from attnjax.data.synthetic.questions import Split, stream
from attnjax.experiment.registry import find_or_load
from attnjax.explain.faithfulness import RetrainedTask, ranks_of, without_first
from attnjax.models.encoder_config import EncoderConfig
from attnjax.sweeps.finished import sweep
from attnjax.tasks.planted import probabilities

FILE = Path(__file__).parents[3] / "experiments" / "retraining.py"
MODEL = EncoderConfig(dim=16, heads=2, hidden=16, layers=1, head="labels", implementation="reference")
SOURCE = make_planted(PlantedData("causes", causes=1, length=6))
COUNTS = {Split.TRAIN: 512, Split.VALIDATION: 32, Split.TEST: 256}


def parts(planted: bool) -> dict[str, dict[str, np.ndarray]]:
    """Sequences whose tokens are ranked by the rationale, or at random."""
    found = {}
    for part, count in COUNTS.items():
        made = SOURCE.rows(count, stream(0, part))
        counted = made["tokens"] > START
        scores = made["rationale"] if planted else np.zeros(counted.shape)
        found[part.name.lower()] = made | {"ranks": ranks_of(scores.astype(float), counted, int(part))}
    return found


def task(planted: bool, removed: float = 0.2) -> RetrainedTask:
    made = parts(planted)
    return RetrainedTask(made, MODEL, vocab=SOURCE.vocab, batch_size=64, removed=removed, baseline=MASK)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.7, 1.0])
def test_the_first_tokens_go_and_padding_and_special_ones_stay(share: float) -> None:
    made = SOURCE.rows(40, np.random.default_rng(5))
    tokens, lengths = made["tokens"], made["lengths"]
    scores = np.random.default_rng(6).normal(size=tokens.shape)
    ranks = ranks_of(scores, tokens > START)
    replaced, as_before = without_first(tokens, lengths, ranks, jnp.float32(share), baseline=MASK)
    closed, left = without_first(tokens, lengths, ranks, share, removal="delete")
    np.testing.assert_array_equal(as_before, lengths)
    for row, length in enumerate(lengths):
        places = sorted(range(1, length), key=lambda place: -scores[row, place])
        gone = set(places[: math.ceil(share * (length - 1) - 1e-9)])
        expected = [MASK if place in gone else token for place, token in enumerate(tokens[row])]
        assert np.asarray(replaced)[row].tolist() == expected
        kept = [token for place, token in enumerate(tokens[row, :length]) if place not in gone]
        assert np.asarray(closed)[row].tolist() == kept + [0] * (tokens.shape[1] - len(kept))
        assert int(left[row]) == len(kept)
        assert expected[0] == kept[0] == START


def test_rounding_removes_no_token_more() -> None:
    """In float32 30% of 10 is not 3."""
    count = np.arange(1, 101)
    ranks = np.where(np.arange(101) < count[:, None], np.arange(101), 101)
    tokens = np.ones_like(ranks)
    for percent in range(0, 101, 5):
        found, _ = without_first(tokens, count, ranks, jnp.float32(percent / 100))
        np.testing.assert_array_equal((np.asarray(found) == 0).sum(1), -(-percent * count // 100))


def test_without_the_rationale_nothing_is_learned_and_with_random_holes_much_is() -> None:
    oracle, other = task(planted=True), task(planted=False)

    @jax.jit
    def update(params: Any, batch: Any, removed: Any) -> Any:
        def loss(params: Any) -> Any:
            return oracle.loss(params, batch, dropout=None, hyper={"removed": removed})[0]

        return jax.tree.map(lambda p, g: p - 0.5 * g, params, jax.grad(loss)(params))

    def right(source: RetrainedTask, removed: float) -> float:
        params = jax.jit(oracle.init)(jax.random.key(0))
        for step in range(100):
            params = update(params, source.batch(step), removed)
        # The compiled programs of one serve both.
        told = oracle.infer(probabilities, params, source.reduced("test", removed)).argmax(-1)
        return 100 * float((told == labels).mean())

    labels = parts(True)["test"]["labels"]
    whole, random, planted = right(oracle, 0.0), right(other, 0.2), right(oracle, 0.2)
    # Of 28 in 100 sequences the digit is among the random holes, and half of these are guessed right.
    assert whole > 90
    assert 70 < random < 92
    assert planted < 60


def test_a_seed_is_its_data_and_the_tables_are_those_of_a_share() -> None:
    one, again = task(planted=False), task(planted=False, removed=0.7)
    for name, x in one.batch(3).items():
        np.testing.assert_array_equal(x, again.batch(3)[name])
    assert not np.array_equal(one.batch(3)["tokens"], one.batch(4)["tokens"])
    np.testing.assert_array_equal(one.reduced("test", 0.7)["tokens"], again.reduced("test")["tokens"])
    assert (again.reduced("test")["tokens"] == MASK).sum() > 2 * (one.reduced("test")["tokens"] == MASK).sum()


def test_bad_input_is_one_line() -> None:
    made = parts(planted=False)
    common: dict[str, Any] = {"vocab": SOURCE.vocab, "batch_size": 2}
    with pytest.raises(InputError, match=r"removed is 1.5: expected a share in \[0, 1\]"):
        RetrainedTask(made, MODEL, removed=1.5, **common)
    with pytest.raises(InputError, match="removal is 'drop': expected 'replace' or 'delete'"):
        RetrainedTask(made, MODEL, removed=0.5, removal="drop", **common)  # type: ignore[arg-type]
    lacking = {name: x for name, x in made["test"].items() if name != "ranks"}
    with pytest.raises(InputError, match=r"parts\['test'\] has no ranks: expected tokens, lengths"):
        RetrainedTask(made | {"test": lacking}, MODEL, removed=0.5, **common)
    narrow = made["test"] | {"ranks": made["test"]["ranks"][:, 1:]}
    with pytest.raises(InputError, match=r"parts\['test'\]: tokens \[256, 7\] and ranks \[256, 6\]"):
        RetrainedTask(made | {"test": narrow}, MODEL, removed=0.5, **common)


@pytest.mark.slow
def test_trials_of_a_pack_are_tested_on_their_own_share(tmp_path: Path) -> None:
    config = find_or_load("remove_and_retrain", FILE).make
    small = {"data.source": "causes", "data.causes": 1, "data.length": 6, "data.evaluation_examples": 64}
    small |= {"model.dim": 16, "model.layers": 1, "model.hidden": 16, "order": "raw", "examples": 256}
    small |= {"train.steps": 60, "train.warmup_steps": 10, "train.checkpoint_every": 30}
    found = sweep(config, {"removed": [0.0, 1.0]}, changes=small, folder=tmp_path, notify=lambda _: None)
    right = dict(zip(*(found.trials[name].to_list() for name in ("removed", "test/right %")), strict=True))
    assert loss_fields(config(removed=0.7)) == {"removed": 0.7}
    assert right[0.0] > 80
    assert right[1.0] < 65
