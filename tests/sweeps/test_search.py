"""A search asks the same questions again however often it is killed, and learns from the answers."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import ClassVar

import pytest

from attnjax.cli import sweep_tables
from attnjax.cli.sweep_tables import LiveTable
from attnjax.sweeps.search import OptunaSearch
from attnjax.sweeps.space import Categorical, Range
from attnjax.sweeps.spec import Search
from attnjax.sweeps.store import TrialRecord
from tests.sweeps.test_run import command, only_sweep, run, table, written

SPACE = {
    "rate": Range(1e-3, 1.0, log=True),
    "heads": Categorical((2, 4)),
    "layers": Range(1, 4, integer=True),
}
FAST = ["--batching", "map", "--width", "4", "--devices", "1"]
pytestmark = pytest.mark.usefixtures("on_one_core_in_an_empty_directory")
HUNT = [
    *"sweep toy --search tpe --trials 14 --prune median --train.steps 40".split(),
    *FAST,
    "--space",
    "train.learning_rate=log:1e-2..1",
]
SHAPES = ["line.slope=1,2,3", "--trials", "48", "--width", "2"]


def records(asked: list[dict]) -> list[TrialRecord]:
    return [TrialRecord(i, changes, "done", {}, Path()) for i, changes in enumerate(asked)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_trial_follows_from_the_trials_before_it(sampler: str) -> None:
    search = Search(sampler, 30, SPACE, seed=3)
    first = [OptunaSearch(search, "max").ask([], {}, {}, number) for number in range(8)]
    assert len({c["rate"] for c in first}) == 8
    assert all(1e-3 <= c["rate"] <= 1 and c["heads"] in (2, 4) and c["layers"] in (1, 2, 3, 4) for c in first)
    values = {i: -abs(c["rate"] - 0.1) for i, c in enumerate(first)}
    again = [OptunaSearch(search, "max").ask(records(first), values, {}, 8) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] not in first
    assert OptunaSearch(Search(sampler, 30, SPACE, seed=40), "max").ask([], {}, {}, 0) != first[0]


def test_tpe_finds_a_better_region_than_random_draws() -> None:
    """Of 48 trials, the last 16 lie nearer to the best rate; the other way round for the other mode."""
    for mode, sign in (("max", 1), ("min", -1)):
        optuna_search, asked = OptunaSearch(Search("tpe", 48, {"rate": Range(0.0, 1.0)}), mode), []
        while len(asked) < 48:
            ended = records(asked)
            values = {i: -sign * (c["rate"] - 0.3) ** 2 for i, c in enumerate(asked)}
            for number in range(len(ended), len(ended) + 8):
                running = dict(enumerate(asked[len(ended) :], start=len(ended)))
                asked.append(optuna_search.ask(ended, values, running, number))
        distance = [abs(c["rate"] - 0.3) for c in asked]
        assert sum(distance[-16:]) < 0.6 * sum(distance[:8]) * 2


def test_tpe_avoids_what_fails() -> None:
    optuna_search = OptunaSearch(
        Search("tpe", 48, {"rate": Range(0.0, 1.0), "heads": Categorical((2, 3))}), "max"
    )
    trials: list[TrialRecord] = []
    for number in range(48):
        values = {t.number: -abs(t.changes["rate"] - 0.3) for t in trials if t.status == "done"}
        changes = optuna_search.ask(trials, values, {}, number)
        status = "done" if changes["heads"] == 2 else "failed"
        trials.append(TrialRecord(number, changes, status, {}, Path()))
    failed = [trial.number for trial in trials if trial.status == "failed"]
    assert len(failed) < 20


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_pruning_gives_the_same_answer_again_and_spares_the_best(pruner: str) -> None:
    optuna_search = OptunaSearch(Search("random", 40, {"rate": Range(0.0, 1.0)}, pruner=pruner), "max")
    before = records([{"rate": i / 8} for i in range(8)])
    curves = {i: {s: i * s / 10 for s in range(1, 9)} for i in range(16)}
    running = {i: {"rate": i / 16} for i in range(8, 16)}
    curves |= {i: {s: 1.2 * (15 - i) * s / 10 for s in range(1, 9)} for i in running}
    values = {i: curves[i][8] for i in range(8)}

    def until(step: int) -> dict:
        """The curves of the running ones up to a step."""
        return curves | {i: {s: v for s, v in curves[i].items() if s <= step} for i in running}

    answers = [
        set().union(
            *(
                optuna_search.pruned(before, values, until(step), running, dict.fromkeys(running, step))
                for step in range(1, 9)
            )
        )
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert 8 not in answers[0]
    assert pruner == "hyperband" or 15 in answers[0]


def test_a_search_round_trips_through_its_record() -> None:
    search = Search("tpe", 30, SPACE, "median", 3)
    assert Search.from_record(search.record()) == search


def test_a_search_that_is_terminated_ends_in_the_same_table(monkeypatch) -> None:
    """It stops where the first of its trials has ended."""
    hunt = [*HUNT, "--trials", "8", "--width", "2", "--train.steps", "20", "--train.checkpoint_every", "5"]
    assert run(*hunt, "--runs", "never_stopped") == 0
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_EVALUATION", "1")
        assert run(*hunt) == 143
    assert "done" in {trial.status for trial in only_sweep().trials()}
    assert run("resume", "toy") == 0
    assert table(only_sweep()) == table(only_sweep("never_stopped"))
    assert {trial.status for trial in only_sweep().trials()} == {"done", "pruned"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shapes", "count"),
    [([], 14), ([*SHAPES, "--trials", "24"], 24)],
    ids=["of one shape", "over several shapes"],
)
def test_a_search_that_is_killed_ends_in_the_same_table(shapes: list[str], count: int) -> None:
    env, hunt = {**os.environ, "TOY_SECONDS_PER_STEP": "0.02"}, [*HUNT, *shapes]
    for kill in range(2):
        before = written()
        process = subprocess.Popen(
            command(*hunt), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and written() == before:
            time.sleep(0.01)
        time.sleep(0.4 * kill)
        process.kill()
        assert process.wait() in (0, -signal.SIGKILL)
    assert run("resume", "toy") == 0
    killed = table(only_sweep())
    assert run(*hunt, "--runs", "never_killed") == 0
    assert killed == table(only_sweep("never_killed"))
    statuses = [result["status"] for _, _, result, _ in killed]
    assert len(statuses) == count
    assert set(statuses) == {"done", "pruned"}


def test_a_combination_that_cannot_be_is_a_failed_trial_of_the_search() -> None:
    space = ["train.batch_size=5,7", "train.accumulate=1,2"]
    assert run(*"sweep toy --search random --trials 8 --space".split(), *space, *FAST) == 0
    found = {tuple(trial.changes.values()): trial.result for trial in only_sweep().trials()}
    assert {key[1] for key in found} == {1, 2}
    for (_, accumulate), result in found.items():
        assert result["status"] == ("done" if accumulate == 1 else "failed")
        assert accumulate == 1 or "train.accumulate is 2: it must divide" in result["reason"]


@pytest.mark.parametrize(
    ("space", "width", "per_pack"),
    [
        ("train.learning_rate=0.1..0.2 seed=0..9 train.dropout=0.1..0.3", 4, 32),
        pytest.param("line.slope=1..3", 1, 2, marks=pytest.mark.slow),
        # The base config cannot be with any of these.
        ("train.batch_size=25,35 train.accumulate=5,7", 1, 2),
    ],
)
def test_a_pack_asks_for_all_trials_of_one_shape_and_few_where_there_are_several(
    space: str, width: int, per_pack: int
) -> None:
    asked = "sweep toy --search random --trials 32 --train.steps 2 --train.accumulate 2 --space".split()
    assert run(*asked, *space.split(), "--batching", "map", "--devices", "1") == 0
    plan = json.loads((only_sweep().folder / "plan.json").read_text())
    assert (plan["width"], plan["per_pack"]) == (width, per_pack)


STARTED = -1


class Recorder(LiveTable):
    """Notes that trials begin, and which end."""

    events: ClassVar[list[int]]

    def started(self, trials: int) -> None:
        self.events += [STARTED] * trials
        super().started(trials)

    def ended(self, trial, status, value, reason) -> None:
        self.events.append(trial.number)
        super().ended(trial, status, value, reason)


@pytest.mark.slow
def test_a_pruned_lane_of_a_search_over_several_shapes_goes_to_a_further_trial_of_its_shape(
    monkeypatch,
) -> None:
    Recorder.events = []
    monkeypatch.setattr(sweep_tables, "LiveTable", Recorder)
    assert run(*HUNT, *SHAPES) == 0
    trials = only_sweep().trials()
    pruned = {t.number for t in trials if t.status == "pruned"}
    shapes = [{t.changes["line.slope"] for t in trials[first : first + 3]} for first in range(0, 48, 3)]
    assert [len(slopes) for slopes in shapes] == [1] * 16
    assert set.union(*shapes) == {1.0, 2.0, 3.0}
    assert len({t.changes["train.learning_rate"] for t in trials}) == 48
    # Two lanes: the third trial of a pack has begun when one was pruned, while the other ran on.
    beside = {number: number // 3 * 3 + 1 - number % 3 for number in range(48) if number % 3 < 2}
    passed_on = [Recorder.events.index(n) + 1 for n in pruned if beside.get(n, n) not in pruned]
    assert len(passed_on) > 2
    assert {Recorder.events[place] for place in passed_on} == {STARTED}


def test_trials_are_pruned_by_the_monitor_whatever_judges_them() -> None:
    """The metric that is to be large is the error: its worst end is the best of the monitor."""
    hunt = "sweep toy --search random --trials 12 --prune median --train.steps 40".split()
    space = ["--space", "train.learning_rate=log:1e-3..1"]
    judged = ["--metric", "all points/error", "--mode", "max"]
    assert run(*hunt, *FAST, *space, *judged) == 0
    assert run(*hunt, *FAST, *space, "--runs", "by_monitor") == 0
    pruned = [
        [trial.number for trial in only_sweep(runs).trials() if trial.status == "pruned"]
        for runs in ("runs", "by_monitor")
    ]
    assert pruned[0] == pruned[1] != []


def test_a_measure_that_is_no_number_is_a_failure_to_the_search(monkeypatch, capsys) -> None:
    monkeypatch.setenv("TOY_NAN_SLOPE", "2.0")
    hunt = "sweep toy --search tpe --trials 8 --space line.slope=1,2,3 --metric".split()
    assert run(*hunt, "all points/error", "--mode", "min", *FAST, "--width", "1") == 0
    assert [trial.status for trial in only_sweep().trials()] == ["done"] * 8
    (kept,) = only_sweep().folder.glob("trials/*/checkpoints")
    assert json.loads((kept.parent / "config.json").read_text())["config"]["line"]["slope"] != 2.0
    assert "best so far nan" not in capsys.readouterr().err


def test_a_shape_whose_data_cannot_be_is_a_failed_trial_of_the_search(tmp_path: Path) -> None:
    Path("good").write_text("1\n2\n")
    Path("bad").write_text("one\n")
    hunt = "sweep toy --search random --trials 8 --space line.points=good,bad".split()
    assert run(*hunt, *FAST) == 0
    found = {Path(t.changes["line.points"]).name: t.result for t in only_sweep().trials()}
    assert found["good"]["status"] == "done"
    assert found["bad"]["status"] == "failed"
    assert "'one'" in found["bad"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--search", "tpe", "--trials", "3"], "say what to draw from"),
        (["--search", "tpe", "--space", "seed=1..3"], "say how many trials"),
        (["--search", "tp", "--space", "seed=1..3"], "invalid choice: 'tp'"),
        (["--trials", "3", "--seeds", "2"], "--trials is for --search"),
        (["--search", "tpe", "--trials", "3", "--seeds", "2"], "--search and --seeds"),
        (["--search", "tpe", "--trials", "3", "--space", "train.dropout=0.5..0.1"], "LOW..HIGH"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys) -> None:
    assert run("sweep", "toy", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
