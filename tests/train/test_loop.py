"""The loop: what it writes, keeps, hands back, and how it goes on."""

import dataclasses
import functools
import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from attnjax.config import InputError
from attnjax.train import loop
from attnjax.train.checkpoint import Checkpoints
from attnjax.train.config import TrainConfig
from attnjax.train.hashing import params_hash
from attnjax.train.loop import FitResult, TrainingDiverged, fit, load_params
from attnjax.train.metrics import MetricsFile
from attnjax.train.observers.base import Observer
from attnjax.train.sharding import ShardingPlan
from attnjax.train.state import TrainState, evaluation_params, init_state, initial_state
from tests.daily import daily
from tests.train.toy import DIM, TOKENS, ToyTask

pytestmark = pytest.mark.versions

CONFIG = TrainConfig(
    steps=14, batch_size=8, log_every=4, checkpoint_every=6, warmup_steps=2, learning_rate=0.01, ema_decay=0.9
)


TIMES = ("seconds", "steps_per_second")


class StopsAt(ToyTask):
    """Fails when the batch of one step is asked for: a crash in the middle."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def batch(self, step: int) -> dict[str, np.ndarray]:
        if step == self.step:
            raise OSError("the corpus is gone")
        return super().batch(step)


def _fit(folder: Path, task: ToyTask | None = None, config: TrainConfig = CONFIG, **options) -> FitResult:
    return fit(
        task or ToyTask(), config, seed=0, folder=folder, observers=options.pop("observers", ()), **options
    )


class CountedRows(ToyTask):
    row_counts = (8, 6)


def test_batches_that_do_not_divide_are_one_line_before_the_first_step(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, accumulate=4)
    with pytest.raises(InputError, match=r"some batches have 6 rows: 1 device\(s\) × 4 \(train.accumulate\)"):
        _fit(tmp_path / "run", CountedRows(), config)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return _fit(folder), folder


def _noted(events: list[str], name: str, method: Callable) -> Callable:
    def call(*arguments, **options):
        events.append(name)
        return method(*arguments, **options)

    return call


def _rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _damage_newest(folder: Path) -> None:
    for file in (folder / "checkpoints" / "14" / "state").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:100])


def _assert_same_run(result: FitResult, folder: Path, whole: tuple[FitResult, Path]) -> None:
    assert params_hash(result.params) == params_hash(whole[0].params)
    assert (folder / "metrics.jsonl").read_bytes() == (whole[1] / "metrics.jsonl").read_bytes()


def test_rows_end_each_chunk_and_validations_follow_checkpoints(whole: tuple[FitResult, Path]) -> None:
    rows = [(row["step"], row["split"]) for row in _rows(whole[1])]
    assert rows == [
        (4, "train"),
        (8, "train"),
        (8, "validation"),
        (12, "train"),
        (12, "validation"),
        (14, "train"),
        (14, "validation"),
    ]
    kept = {int(path.name) for path in (whole[1] / "checkpoints").iterdir()}
    assert kept == {12, 14, whole[0].best[0]}


def test_the_result_is_the_average_after_the_last_step(whole: tuple[FitResult, Path]) -> None:
    result, folder = whole
    assert (result.step, result.interrupted, result.resumed_from) == (14, False, 0)
    last = [row for row in _rows(folder) if row["split"] == "validation"][-1]
    assert ToyTask().validate(result.params) == {name: last[name] for name in ("accuracy", "loss")}
    assert params_hash(load_params(ToyTask(), CONFIG, folder=folder)) == params_hash(result.params)


def test_the_best_parameters_can_be_loaded(whole: tuple[FitResult, Path]) -> None:
    result, folder = whole
    best = load_params(ToyTask(), CONFIG, folder=folder, best=True)
    assert ToyTask().validate(best)["accuracy"] == result.best[1]


@pytest.mark.parametrize("best", [False, True])
def test_the_mean_of_several_checkpoints_can_be_loaded(best: bool, whole: tuple[FitResult, Path]) -> None:
    folder = whole[1]
    with Checkpoints(folder / "checkpoints", keep=2, mode="max", read_only=True) as checkpoints:
        ranked = [step for step, _ in checkpoints.ranked]
        steps = ranked[:2] if best else checkpoints.steps[-2:]
        assert checkpoints.best[0] == ranked[0]
        like = jax.eval_shape(functools.partial(initial_state, ToyTask(), CONFIG), jax.random.key(0))
        plan = ShardingPlan(None, CONFIG)
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=plan.replicated), like)
        states = [evaluation_params(checkpoints.load(step, like)) for step in steps]
    found = load_params(ToyTask(), CONFIG, folder=folder, best=best, count=2)
    jax.tree.map(
        lambda mean, a, b: np.testing.assert_allclose(mean, (np.asarray(a) + np.asarray(b)) / 2, rtol=1e-6),
        found,
        *states,
    )
    count = len(list((folder / "checkpoints").iterdir()))
    with pytest.raises(
        InputError, match=rf"has {count} checkpoint\(s\) to choose from, expected 9: train.keep"
    ):
        load_params(ToyTask(), CONFIG, folder=folder, best=best, count=9)


def test_loading_from_a_folder_without_checkpoints_fails_clearly(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        load_params(ToyTask(), CONFIG, folder=tmp_path)


def test_loading_changes_nothing_even_where_it_falls_back(
    tmp_path: Path, whole: tuple[FitResult, Path], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    _damage_newest(tmp_path)
    (tmp_path / "checkpoints" / "16.orbax-checkpoint-tmp-0").mkdir()
    before = sorted(tmp_path.rglob("*"))
    load_params(ToyTask(), CONFIG, folder=tmp_path)
    assert f"{tmp_path}/checkpoints/14 is damaged" in caplog.text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_finished_run_is_not_trained_again(whole: tuple[FitResult, Path]) -> None:
    again = _fit(whole[1], task=StopsAt(0))
    assert again.resumed_from == again.step == 14
    _assert_same_run(again, whole[1], whole)
    assert again.best == whole[0].best


def test_a_run_of_another_model_is_refused_and_stays_as_it_is(
    tmp_path: Path, whole: tuple[FitResult, Path]
) -> None:
    class Wider(ToyTask):
        def init(self, key: jax.Array) -> dict:
            return {**super().init(key), "more": np.zeros(3, np.float32)}

    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"14 is of another model: .*more"):
        _fit(tmp_path, task=Wider())
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_are_on_the_disk_before_the_checkpoint_that_sigterm_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminated(ToyTask):
        def batch(self, step: int) -> dict[str, np.ndarray]:
            if step == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batch(step)

    events: list[str] = []
    for owner, name in ((MetricsFile, "append"), (MetricsFile, "sync"), (ocp.training.Checkpointer, "save")):
        monkeypatch.setattr(owner, name, _noted(events, name, getattr(owner, name)))
    assert _fit(tmp_path, task=Terminated()).interrupted
    assert events == ["append", "append", "sync", "save"]  # The metrics, and the time they were written.


@pytest.mark.parametrize("step", daily([5, 9, 13], [13]))
def test_a_run_that_crashed_goes_on_to_the_same_bits(
    tmp_path: Path, whole: tuple[FitResult, Path], step: int
) -> None:
    with pytest.raises(OSError, match="the corpus is gone"):
        _fit(tmp_path, task=StopsAt(step))
    result = _fit(tmp_path)
    assert result.resumed_from == {5: 0, 9: 0, 13: 8}[step]
    _assert_same_run(result, tmp_path, whole)


def test_a_damaged_newest_checkpoint_costs_steps_but_no_bits(
    tmp_path: Path, whole: tuple[FitResult, Path], caplog: pytest.LogCaptureFixture
) -> None:
    _fit(tmp_path)
    _damage_newest(tmp_path)
    with caplog.at_level(logging.WARNING):
        result = _fit(tmp_path)
    assert result.resumed_from == 12
    assert f"{tmp_path}/checkpoints/14 is damaged" in caplog.text
    _assert_same_run(result, tmp_path, whole)


def test_the_next_chunk_is_dispatched_before_the_host_looks_at_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    def recorded(name: str, method: Callable) -> Callable:
        def call(self, chunk, *rest):
            events.append((name, chunk.end))
            return method(self, chunk, *rest)

        return call

    for owner, name in ((loop.Dispatcher, "__call__"), (loop._Boundary, "settle")):
        label = "dispatch" if name == "__call__" else name
        monkeypatch.setattr(owner, name, recorded(label, getattr(owner, name)))
    _fit(tmp_path, config=dataclasses.replace(CONFIG, steps=12))
    assert events == [
        ("dispatch", 4),
        ("dispatch", 8),
        ("settle", 4),
        ("dispatch", 12),
        ("settle", 8),
        ("settle", 12),
    ]


def test_no_array_slips_onto_the_device_unseen() -> None:
    task = ToyTask()
    plan = loop.ShardingPlan(None, CONFIG)
    state: Future[TrainState] = Future()
    state.set_result(init_state(task.init(jax.random.key(0)), TrainConfig(ema_decay=0.5)))
    dispatch = loop.Dispatcher(task, CONFIG, {}, 0, state.result(), state, plan)
    batches = {name: value[None] for name, value in task.batch(0).items()}
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        dispatch(loop.Span(0, 1), batches)
    assert dispatch(loop.Span(0, 1), plan.put_batches(batches)).end == 1


def test_observers_see_every_row_and_are_closed_after_a_failure(tmp_path: Path) -> None:
    class Recorder(Observer):
        def __init__(self) -> None:
            self.seen = []

        def start(self, step: int, steps: int, parameters: int) -> None:
            self.seen.append((step, steps, parameters))

        def compiled(self, seconds: float, engines: Sequence[str]) -> None:
            self.seen.append("compiled")

        def row(self, row: dict) -> None:
            self.seen.append({name: x for name, x in row.items() if name not in TIMES})

        def close(self) -> None:
            self.seen.append("closed")

    recorder = Recorder()
    with pytest.raises(OSError, match="the corpus is gone"):
        _fit(tmp_path, task=StopsAt(9), observers=(recorder,))
    parameters = TOKENS * DIM + DIM * DIM + DIM + DIM * TOKENS
    assert recorder.seen == [(0, 14, parameters), "compiled", *_rows(tmp_path), "closed"]
    times = [json.loads(line) for line in (tmp_path / "times.jsonl").read_text().splitlines()]
    assert [row["step"] for row in times] == [
        row["step"] for row in _rows(tmp_path) if row["split"] == "train"
    ]


def test_divergence_names_the_step_and_keeps_the_checkpoints(tmp_path: Path) -> None:
    class Diverges(ToyTask):
        def batch(self, step: int) -> dict[str, np.ndarray]:
            return {**super().batch(step), "factor": np.full(8, np.nan if step == 9 else 1.0, np.float32)}

        def loss(self, params, batch, **options):
            loss, metrics = super().loss(params, batch, **options)
            loss = loss * batch["factor"][0]
            return loss, {**metrics, "loss": loss}

    with pytest.raises(TrainingDiverged, match="training diverged in step 10: loss nan"):
        _fit(tmp_path, task=Diverges())
    assert [row["step"] for row in _rows(tmp_path)] == [4, 8, 8]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["8"]
