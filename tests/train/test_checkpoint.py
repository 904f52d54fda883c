"""Checkpoints: what is restored is what was saved, or an older one with a warning."""

import logging
import math
import re
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.train.checkpoint import CheckpointDamaged, Checkpoints
from attnjax.train.config import TrainConfig
from attnjax.train.state import init_state
from tests.daily import daily

pytestmark = pytest.mark.versions

STATE = init_state(
    {"w": jnp.arange(300.0).reshape(3, 100), "b": jnp.ones(3, jnp.bfloat16)}, TrainConfig(ema_decay=0.5)
)


def _open(folder: Path, *, keep: int = 2, mode: str = "max") -> Checkpoints:
    return Checkpoints(folder, keep=keep, mode=mode)


def _at(step: int):
    return jax.tree.map(lambda x: x + step, STATE)


def _assert_same(a, b) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def two_saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    with _open(folder) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, _at(step), score=step / 2)
    return folder


def test_restores_the_newest_in_structure_and_bits(two_saved: Path) -> None:
    with _open(two_saved) as checkpoints:
        step, state = checkpoints.restore(STATE)
    assert step == 2
    _assert_same(state, _at(2))


def test_an_empty_folder_restores_nothing(tmp_path: Path) -> None:
    with _open(tmp_path / "new") as checkpoints:
        assert checkpoints.restore(STATE) is None
        assert checkpoints.best is None


@pytest.mark.parametrize(("mode", "kept"), [("max", [2, 4, 5]), ("min", [1, 4, 5])])
def test_keeps_the_latest_and_the_best(tmp_path: Path, mode: str, kept: list[int]) -> None:
    with _open(tmp_path, mode=mode) as checkpoints:
        for step, score in enumerate([0.1, 0.9, 0.5, 0.3, None], start=1):
            checkpoints.save(step, _at(step), score)
    with _open(tmp_path, mode=mode) as checkpoints:
        assert checkpoints.steps == kept
        assert checkpoints.best == (kept[0], 0.9 if mode == "max" else 0.1)


def test_saves_go_on_in_the_background_and_take_turns(tmp_path: Path) -> None:
    """Nothing is written before `first` has put on the disk what the checkpoint counts on."""
    go_on, seen = threading.Event(), []

    def first(folder: Path) -> None:
        assert go_on.wait(60)
        seen.append(
            (folder.name, [path.name for name in ("one", "two") for path in (tmp_path / name).glob("*")])
        )

    with _open(tmp_path / "one") as one, _open(tmp_path / "two") as two:
        one.save(1, _at(1), first=lambda: first(tmp_path / "one"))
        two.save(2, _at(2), first=lambda: first(tmp_path / "two"))
        assert not seen
        go_on.set()
    assert seen == [("one", []), ("two", ["1"])]
    for name, step in (("one", 1), ("two", 2)):
        with _open(tmp_path / name) as checkpoints:
            assert checkpoints.steps == [step]


def test_what_goes_wrong_before_a_save_leaves_no_checkpoint(tmp_path: Path) -> None:
    def first() -> None:
        raise OSError("no space left")

    with _open(tmp_path / "one") as checkpoints:
        checkpoints.save(1, _at(1), first=first)
        with pytest.raises(InputError, match=r"cannot save a checkpoint in .*: no space left"):
            checkpoints.wait()
        assert checkpoints.steps == []


def test_of_equal_scores_the_earliest_is_the_best(tmp_path: Path) -> None:
    with _open(tmp_path, keep=1) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, _at(step), 1.0)
        assert checkpoints.best == (1, 1.0)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_score_that_is_nan_is_never_the_best(tmp_path: Path, mode: str) -> None:
    for _ in ("as it is written", "as it is read"):
        with _open(tmp_path, mode=mode, keep=9) as checkpoints:
            for step, score in ((1, math.nan), (2, 0.5), (3, math.nan)):
                if step not in checkpoints.steps:
                    assert checkpoints.best is None or step > 2
                    checkpoints.save(step, _at(step), score)
            checkpoints.wait()
            assert checkpoints.best == (2, 0.5)


@pytest.mark.parametrize("damage", daily(["truncated", "zeroed", "removed"], ["zeroed"]))
def test_no_damage_to_any_file_restores_other_bits(
    two_saved: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    fell_back = 0
    for number, file in enumerate(sorted(p for p in (two_saved / "2").rglob("*") if p.is_file())):
        folder = tmp_path / str(number)
        shutil.copytree(two_saved, folder)
        _damage(folder / file.relative_to(two_saved), damage)
        caplog.clear()
        with caplog.at_level(logging.WARNING), _open(folder) as checkpoints:
            checkpoints.require_alike(STATE)
            step, state = checkpoints.restore(STATE)
            _assert_same(state, _at(step))
            if step == 1:
                fell_back += 1
                assert f"{folder}/2 is damaged" in caplog.text
                checkpoints.save(2, _at(2))  # the step can be saved again
                checkpoints.wait()
                assert checkpoints.steps == [1, 2]
    assert fell_back >= 4


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (
            {"w": jnp.ones((3, 50)), "b": jnp.ones(3, jnp.bfloat16)},
            "float32[3, 100] there and float32[3, 50]",
        ),
        ({"w": jnp.ones((3, 100)), "b": jnp.ones(3)}, "b is bfloat16[3] there and float32[3] here"),
        ({"w": jnp.ones((3, 100))}, "b is float32[3] there and nothing here"),
    ],
)
def test_a_checkpoint_of_another_model_is_told_from_a_damaged_one(
    two_saved: Path, tmp_path: Path, other: Any, difference: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(two_saved, folder)
    with _open(folder) as checkpoints:
        checkpoints.require_alike(STATE)
        with pytest.raises(InputError, match=re.escape(f"{folder}/2 is of another model")) as error:
            checkpoints.require_alike(init_state(other, TrainConfig(ema_decay=0.5)))
        assert difference in str(error.value)
        assert checkpoints.steps == [1, 2]


def test_arrays_that_are_not_those_saved_are_found_by_their_hash(
    two_saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "swapped"
    shutil.copytree(two_saved, folder)
    shutil.rmtree(folder / "2" / "state")
    shutil.copytree(folder / "1" / "state", folder / "2" / "state")
    with _open(folder) as checkpoints:
        with pytest.raises(CheckpointDamaged, match="its arrays are not those that were saved"):
            checkpoints.load(2, STATE)
        step, state = checkpoints.restore(STATE)
    assert step == 1
    _assert_same(state, _at(1))


def test_the_folder_of_a_save_that_was_cut_off_is_never_restored(two_saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(two_saved, folder)
    (folder / "2").rename(folder / "2.orbax-checkpoint-tmp-0")
    with _open(folder) as checkpoints:
        assert checkpoints.steps == [1]
        assert checkpoints.restore(STATE)[0] == 1


@pytest.fixture
def too_large() -> Iterator[jax.Array]:
    """An array that the disk cannot hold: no file may grow past a kilobyte.

    It is drawn before, for the compilation cache would keep half a program.
    """
    array = jax.random.normal(jax.random.key(0), (300, 300))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield array
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_error_of_a_save_in_the_background_is_raised_on_leaving(
    tmp_path: Path, too_large: jax.Array
) -> None:
    checkpoints = _open(tmp_path)
    with pytest.raises(InputError, match=r"cannot save a checkpoint in .*File too large"), checkpoints:
        checkpoints.save(1, {"w": too_large})
    with _open(tmp_path) as checkpoints:
        assert checkpoints.steps == []


def test_saving_returns_before_the_checkpoint_is_on_the_disk(tmp_path: Path) -> None:
    returned = threading.Event()
    with _open(tmp_path) as checkpoints:
        # A save that did not return would write after ten seconds.
        checkpoints.save(1, {"w": jnp.ones(2)}, first=lambda: returned.wait(10))
        before = checkpoints.steps
        returned.set()
        checkpoints.wait()
        assert (before, checkpoints.steps) == ([], [1])


def _damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    match how:
        case "truncated":
            file.write_bytes(content[: len(content) // 2])
        case "zeroed":
            file.write_bytes(bytes(len(content)))
        case "removed":
            file.unlink()
