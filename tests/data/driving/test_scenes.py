"""Scenes by rules: who is minded and whether it matters; frames by hand; one line for each bad file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.driving.config import KINDS, DrivingData
from attnjax.data.driving.files import scene_parts
from attnjax.data.driving.frames import constant_velocity, framed
from attnjax.data.driving.rules import MATTERS_M, NOISE_M, DrivenScenes, drawn_scenes

CONFIG = DrivingData()
PAST = CONFIG.past


@pytest.fixture(scope="module")
def scenes() -> DrivenScenes:
    return drawn_scenes(CONFIG, 600, np.random.default_rng(0), cars=6)


def test_the_minded_car_is_the_one_of_the_rules_and_no_two_are_on_one_place(scenes: DrivenScenes) -> None:
    assert set(scenes.kinds) == {0, 1, 2}
    own, minded = scenes.places[:, 0], scenes.places[np.arange(600), scenes.minded]
    assert (scenes.minded >= 1).all()
    assert len(set(scenes.minded.tolist())) == 5
    following, merge, crossing = (scenes.kinds == i for i in range(3))
    # It brakes ahead on the same lane, and car 0 does not run into it.
    ahead = (minded - own)[following]
    assert (np.abs(ahead[..., 1]) < 6 * NOISE_M).all()
    assert (ahead[..., 0] > 4).all()
    last = np.diff(minded[following][:, -2:], axis=1)
    first = np.diff(minded[following][:, :2], axis=1)
    assert (np.linalg.norm(last, axis=-1) < np.linalg.norm(first, axis=-1)).all()
    # Whoever waits at a crossing stands before it while the other one is on it.
    distance = np.linalg.norm(own - minded, axis=-1)[crossing & scenes.matters]
    assert (distance.min(1) > 2).all()
    # On a merged lane who matters is ahead.
    gap = (minded[:, -1, 0] - own[:, -1, 0])[merge & scenes.matters]
    assert (gap > 0).all()


def test_a_car_matters_where_the_scene_without_it_ends_elsewhere(scenes: DrivenScenes) -> None:
    off = np.linalg.norm(scenes.alone - scenes.places[:, 0, PAST:], axis=-1)
    np.testing.assert_array_equal(scenes.matters, off[:, -1] > MATTERS_M)
    assert [scenes.matters[scenes.kinds == i].mean() > 0.3 for i in range(3)] == [True] * 3
    untouched = drawn_scenes(DrivingData(kinds=("merge",)), 600, np.random.default_rng(1), cars=2)
    off = np.linalg.norm(untouched.alone - untouched.places[:, 0, PAST:], axis=-1)
    assert (off < 0.01).all(1).mean() > 0.1


def test_a_frame_is_that_of_car_0_and_a_future_that_of_each_car() -> None:
    times = np.arange(5)
    one = np.stack([10 + 0 * times, 2.0 * times], -1)  # Along y.
    other = np.stack([20 - 3.0 * times, 4 + 0 * times], -1)  # Against x.
    standing = np.stack([10 + 0.0 * times, 9 + 0.0 * times], -1)
    places = np.stack([one, other, standing])[None]
    nobody = np.array([-1])
    lanes = places[:, :, 2, None]
    scene = DrivenScenes(places, np.ones((1, 3), bool), lanes, nobody, nobody > 0, one[None, 3:], nobody)
    made = framed(scene, 3, 0.5)
    np.testing.assert_allclose(made["seen"][0, 0, :6], [-0.4, 0, -0.2, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(made["seen"][0, 1, 4:6], [0, -0.4], atol=1e-6)
    np.testing.assert_allclose(made["seen"][0, 1, 6:8], [0, 0.6], atol=1e-6)  # m/s, in tens.
    np.testing.assert_allclose(made["seen"][0, 1, -2:], [0, 1], atol=1e-6)
    np.testing.assert_allclose(made["future"][0, 0], [[2, 0], [4, 0]], atol=1e-6)
    np.testing.assert_allclose(made["future"][0, 1], [[3, 0], [6, 0]], atol=1e-6)
    np.testing.assert_allclose(made["speed"][0], [4, 6, 0])
    np.testing.assert_allclose(constant_velocity(made, 0.5)[0], made["future"][0], atol=1e-6)
    braking = made | {"change": np.full((1, 3), -8.0)}
    # From 4 m/s it stands after half a second and 1 m.
    np.testing.assert_allclose(constant_velocity(braking, 0.5, change=True)[0, 0, :, 0], [1, 1])


def tracks(scenes: int, cars: int = 2, times: int = 5) -> str:
    rows = [
        f"s{s},c{c},{t},{3.0 * t + s},{4 * c}"
        for s in range(scenes)
        for c in range(cars)
        for t in range(times)
    ]
    return "\n".join(["scene,car,time,x,y", *rows]) + "\n"


def settings(folder: Path, text: str, **changes: Any) -> DrivingData:
    (folder / "own.csv").write_text(text)
    return DrivingData(**{"train": folder / "own.csv", "past": 3, "future": 2, "holdout": 0.25} | changes)


def test_scenes_of_a_file_are_in_one_part_each_and_a_car_that_comes_later_is_left_out(tmp_path: Path) -> None:
    text = tracks(8) + "s7,c9,1,0,0\n"
    parts = scene_parts(settings(tmp_path, text))
    assert [len(part.places) for part in parts.values()] == [4, 2, 2]
    starts = [place for part in parts.values() for place in part.places[:, 0, 0, 0]]
    assert sorted(starts) == list(range(8))
    np.testing.assert_array_equal(parts["train"].places[0, 1, :, 0], starts[0] + 3 * np.arange(5))
    late = next(part for part in parts.values() if 7 in part.places[:, 0, 0, 0])
    assert late.present[list(late.places[:, 0, 0, 0]).index(7)].tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (tracks(8).replace("car", "cars"), {}, "own.csv:1: there is no column 'car', which data.train names"),
        (tracks(8) + "s1,c0,0,1,1\n", {}, "own.csv:82: the car 'c0' is at time 0 twice"),
        (tracks(8) + "s1,c0,8,one,1\n", {}, "own.csv:82: x is 'one': expected a number"),
        (tracks(8, times=4), {}, "own.csv:2: the first car of scene"),
        (tracks(2), {}, "2 scene(s) are too few to hold out validation and test"),
        ("", {}, "own.csv: the file is empty"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        scene_parts(settings(tmp_path, text, **changes))
    assert message in str(caught.value).replace("own.csv:10:", "own.csv:2:")
    assert "\n" not in str(caught.value)


def test_a_scene_in_two_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(tracks(1))
    with pytest.raises(InputError, match=r"test\.csv:2: the scene 's0' is in data\.train too"):
        scene_parts(settings(tmp_path, tracks(8), test=tmp_path / "test.csv"))
    with pytest.raises(InputError, match=r"data\.kinds has 'parking': expected following"):
        DrivingData(kinds=("parking",))
    assert KINDS[0] == "following"
