"""Packs: every trial has the bits that it would have elsewhere, ends alone, and survives kills."""

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from attnjax.train.config import TrainConfig
from attnjax.train.hashing import params_hash
from attnjax.train.loop import fit, load_params
from attnjax.train.packs.fit import fit_pack
from attnjax.train.packs.program import PackLayout, PackProgram, PackTrial
from tests.daily import daily
from tests.train.toy import ToyTask

CONFIG = TrainConfig(steps=30, batch_size=8, log_every=4, checkpoint_every=10, warmup_steps=3)
HYPER = {"label_smoothing": 0.0}
LAYOUTS = [PackLayout("map", 4), PackLayout("vmap", 4)]


def trials(folder: Path, count: int = 3, **changes) -> list[PackTrial]:
    """Which differ in everything that may differ."""
    return [
        PackTrial(
            i,
            dataclasses.replace(
                CONFIG,
                learning_rate=1e-3 * (i + 1),
                dropout=0.1 * i,
                weight_decay=0.1 * i,
                **changes,
            ),
            seed=i // 2,
            metrics=folder / f"{i}.jsonl",
            hyper={"label_smoothing": 0.05 * i},
        )
        for i in range(count)
    ]


@functools.cache
def program_of(layout: PackLayout) -> PackProgram:
    """Compiled once; what a call begins with is no part of it."""
    return PackProgram(ToyTask(), CONFIG, layout, HYPER)


def run(folder: Path, pack: list[PackTrial], layout: PackLayout = LAYOUTS[0], **options) -> dict:
    """Hash of the parameters, or the reason, of each trial by number."""
    folder.mkdir(exist_ok=True)
    ended = {}

    def on_end(end):
        assert end.trial.number not in ended
        ended[end.trial.number] = end

    fit_pack(program_of(layout), pack, folder=folder, on_end=on_end, **options)
    return ended


def hashes(ended: dict) -> dict[int, str]:
    return {number: params_hash(end.params) for number, end in ended.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict]]:
    found = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp(layout.batching)
        found[layout.batching] = folder, run(folder, trials(folder), layout)
    return found


def bits_and_metrics_are_those_of_runs(folder: Path, ended: dict, tmp_path: Path, numbers: list[int]) -> None:
    for trial in (trials(folder)[number] for number in numbers):
        alone = fit(
            ToyTask(),
            trial.config,
            seed=trial.seed,
            folder=tmp_path / str(trial.number),
            hyper=trial.hyper,
            observers=(),
        )
        assert params_hash(alone.params) == params_hash(ended[trial.number].params)
        rows = (tmp_path / str(trial.number) / "metrics.jsonl").read_bytes()
        assert trial.metrics.read_bytes() == rows
        last = [json.loads(row) for row in rows.splitlines()][-1]
        assert ended[trial.number].validation == {k: last[k] for k in ("accuracy", "loss")}


def test_a_mapped_trial_has_the_bits_and_the_metrics_of_a_run_on_its_own(whole, tmp_path: Path) -> None:
    folder, ended = whole["map"]
    # The last, whose seed and dropout are no others'.
    bits_and_metrics_are_those_of_runs(folder, ended, tmp_path, [2])
    assert len(set(hashes(ended).values())) == 3


@pytest.mark.slow
@pytest.mark.optimised
def test_it_has_them_as_xla_compiles_both_for_users(tmp_path: Path) -> None:
    """All the others ask programs with few optimisations."""
    folder = tmp_path / "pack"
    program_of.cache_clear()
    bits_and_metrics_are_those_of_runs(folder, run(folder, trials(folder)), tmp_path, [0, 1, 2])
    program_of.cache_clear()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: x.batching)
def test_lane_and_packmates_change_no_bit(whole, tmp_path: Path, layout: PackLayout) -> None:
    _, ended = whole[layout.batching]
    one, two, three = trials(tmp_path)
    assert hashes(run(tmp_path / "turned", [three, one, two], layout)) == hashes(ended)
    assert hashes(run(tmp_path / "alone", [two], layout)) == {1: params_hash(ended[1].params)}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: x.batching)
def test_a_trial_that_diverges_fails_alone(whole, tmp_path: Path, layout: PackLayout) -> None:
    one, two, three = trials(tmp_path)
    broken = dataclasses.replace(two, config=dataclasses.replace(two.config, learning_rate=1e30))
    ended = run(tmp_path, [one, broken, three], layout)
    _, expected = whole[layout.batching]
    assert ended[1].status == "failed"
    assert "training diverged in step" in ended[1].reason
    assert {i: params_hash(ended[i].params) for i in (0, 2)} == {i: hashes(expected)[i] for i in (0, 2)}
    assert (ended[1].step, two.metrics.exists()) == (4, False)


def test_a_pruned_trial_stops_and_the_others_go_on(whole, tmp_path: Path) -> None:
    seen = []

    def prune(validated, running, ended):
        seen.append((validated, running, ended))
        return {0} if validated[1] == 12 else set()

    ended = run(tmp_path, trials(tmp_path), prune=prune)
    assert seen == [({0: 12, 1: 12, 2: 12}, {0, 1, 2}, set()), ({1: 20, 2: 20}, {1, 2}, {0})]
    assert (ended[0].status, ended[0].step, ended[0].params) == ("pruned", 12, None)
    assert {i: params_hash(ended[i].params) for i in (1, 2)} == {
        i: hashes(whole["map"][1])[i] for i in (1, 2)
    }


class Dies(RuntimeError):
    pass


def queue(folder: Path) -> list[PackTrial]:
    """More trials than lanes: 0, 1 and 2 as ever; 3 to 7 diverge at once, 8 and 9 are 1 and 2 once more."""
    ordinary, numbers = trials(folder), [3, 4, 0, 5, 8, 6, 1, 7, 9, 2]
    like = {i: ordinary[i % 7 if i > 7 else i % 3] for i in numbers}
    bad = {i: dataclasses.replace(like[i].config, learning_rate=1e30) for i in range(3, 8)}
    return [
        dataclasses.replace(
            like[i], number=i, config=bad.get(i, like[i].config), metrics=folder / f"{i}.jsonl"
        )
        for i in numbers
    ]


@pytest.mark.parametrize(
    ("layout", "in_step"),
    daily(itertools.product(LAYOUTS, [False, True]), [(LAYOUTS[0], False), (LAYOUTS[1], True)]),
)
def test_lanes_of_trials_that_ended_are_refilled_and_no_bit_changes(
    whole, tmp_path: Path, layout: PackLayout, in_step: bool
) -> None:
    """Lanes stand at different steps then. The pack dies on the way, and once more."""
    deaths, clocks, ended = [20, 36], [], {}

    def note(clock, steps):
        clocks.append(clock)
        if deaths and clock >= deaths[0]:
            deaths.pop(0)
            raise Dies

    program = program_of(layout)
    finished = False
    while not finished:
        with contextlib.suppress(Dies):
            finished = fit_pack(
                program,
                queue(tmp_path),
                folder=tmp_path,
                ended=() if in_step else list(ended),
                on_end=lambda end: ended.setdefault(end.trial.number, end),
                on_step=note,
                in_step=in_step,
            )
    folder, expected = whole[layout.batching]
    assert {i: ended[i].status for i in range(3, 8)} == dict.fromkeys(range(3, 8), "failed")
    for number, like in {0: 0, 1: 1, 2: 2, 8: 1, 9: 2}.items():
        assert params_hash(ended[number].params) == params_hash(expected[like].params)
        assert (tmp_path / f"{number}.jsonl").read_bytes() == (folder / f"{like}.jsonl").read_bytes()
    # Ten trials of 30 steps would be three packs of four in turn.
    assert not deaths
    assert max(clocks) < 90


# Before and after what is kept, and after the last step.
@pytest.mark.parametrize("step", daily([4, 12, 16, 20, 28, 30], [12, 16, 30]))
def test_a_pack_that_died_goes_on_to_the_same_bits_and_rows(whole, tmp_path: Path, step: int) -> None:
    folder, expected = whole["map"]

    def on_step(now, alive):
        if now == step:
            raise Dies

    with pytest.raises(Dies):
        run(tmp_path, trials(tmp_path), on_step=on_step)
    assert hashes(run(tmp_path, trials(tmp_path))) == hashes(expected)
    for trial, like in zip(trials(tmp_path), trials(folder), strict=True):
        assert trial.metrics.read_bytes() == like.metrics.read_bytes()


@pytest.mark.parametrize(("died", "ema"), daily([(None, 0.0), (16, 0.9), (30, 0.0)], [(16, 0.9)]))
def test_the_best_parameters_are_those_of_a_run_on_its_own(
    tmp_path: Path, monkeypatch, died: int | None, ema: float
) -> None:
    """The best validation comes early where a low accuracy is good; the pack dies after it, and goes on."""
    monkeypatch.setattr(ToyTask, "monitor", ("accuracy", "min"))
    config, alone = dataclasses.replace(CONFIG, ema_decay=ema), {}
    pack = [
        PackTrial(i, dataclasses.replace(config, learning_rate=1e-3 * (i + 1)), i, tmp_path / f"{i}.jsonl")
        for i in range(2)
    ]
    for trial in pack:
        folder = tmp_path / f"alone-{trial.number}"
        found = fit(ToyTask(), trial.config, seed=trial.seed, folder=folder, observers=())
        params = load_params(ToyTask(), trial.config, folder=folder, best=True)
        alone[trial.number] = (*found.best, params_hash(params))
    assert {step for step, *_ in alone.values()} <= {12, 20}

    def on_step(now: int, alive: int) -> None:
        if now == died:
            raise Dies

    ended: dict = {}
    program = PackProgram(ToyTask(), config, LAYOUTS[0])
    for call in [on_step, lambda now, alive: None][died is None :]:
        with contextlib.suppress(Dies):
            fit_pack(
                program,
                pack,
                folder=tmp_path / "pack",
                ended=list(ended),
                on_end=lambda end: ended.setdefault(end.trial.number, end),
                on_step=call,
                keep_best=True,
            )
    best = {number: end.best for number, end in ended.items()}
    assert {i: (b.step, b.values["accuracy"], params_hash(b.params)) for i, b in best.items()} == alone


def test_a_pack_that_died_between_two_ends_ends_only_the_others(whole, tmp_path: Path) -> None:
    program, ended = program_of(LAYOUTS[0]), []

    def on_end(end):
        if len(ended) == 1:
            raise Dies
        ended.append(end.trial.number)

    with pytest.raises(Dies):
        fit_pack(program, trials(tmp_path), folder=tmp_path, on_end=on_end)
    rest = run(tmp_path, trials(tmp_path), ended=ended)
    assert hashes(rest) == {i: hashes(whole["map"][1])[i] for i in (1, 2)}


def test_sigterm_saves_and_the_next_start_goes_on(whole, tmp_path: Path) -> None:
    def on_step(now, alive):
        if now == 16:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(tmp_path, trials(tmp_path), on_step=on_step) == {}
    steps = []
    assert hashes(run(tmp_path, trials(tmp_path), on_step=lambda now, _: steps.append(now))) == hashes(
        whole["map"][1]
    )
    assert steps[0] == 20


def test_sigterm_between_two_ends_waits_for_no_other_and_the_next_start_ends_them(
    whole, tmp_path: Path
) -> None:
    program, ended = program_of(LAYOUTS[0]), {}

    def on_end(end):
        ended[end.trial.number] = end
        os.kill(os.getpid(), signal.SIGTERM)

    assert not fit_pack(program, trials(tmp_path), folder=tmp_path, on_end=on_end)
    assert len(ended) == 1
    steps = []
    rest = run(tmp_path, trials(tmp_path), ended=list(ended), on_step=lambda now, _: steps.append(now))
    assert hashes(ended) | hashes(rest) == hashes(whole["map"][1])


def test_ctrl_c_saves_and_raises_and_the_next_start_goes_on(whole, tmp_path: Path, monkeypatch) -> None:
    def press(step: int, alive: int) -> None:
        if step == 12:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, trials(tmp_path), on_step=press)
    finally:
        signal.signal(signal.SIGINT, before)
    steps = []
    again = run(tmp_path, trials(tmp_path), on_step=lambda step, alive: steps.append(step))
    assert steps[0] > 12
    assert hashes(again) == hashes(whole["map"][1])


def test_packs_of_one_program_compile_nothing_more(tmp_path: Path) -> None:
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _, **__: compiled.append(name) if name.endswith("backend_compile_duration") else None
    )
    program = PackProgram(ToyTask(), CONFIG, LAYOUTS[0], HYPER)
    for i, pack in enumerate((trials(tmp_path, 4), trials(tmp_path, 2), trials(tmp_path, 3))):
        if i == 1:
            compiled.clear()
        fit_pack(program, pack, folder=tmp_path / str(i), on_end=lambda end: None)
    assert not compiled


SHARDED = """
import sys
from pathlib import Path
import jax
jax.config.update("jax_num_cpu_devices", 2)
from attnjax.train.packs.program import PackLayout
from tests.train.packs.test_fit import hashes, run, trials
folder = Path(sys.argv[1])
print(hashes(run(folder, trials(folder), PackLayout(sys.argv[2], 4, devices=2))))
"""


def test_devices_share_the_trials_of_a_pack_and_change_no_bit_of_mapped_ones(whole, tmp_path: Path) -> None:
    code = [sys.executable, "-c", SHARDED, str(tmp_path), "map"]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [str(hashes(whole["map"][1]))], done.stderr
