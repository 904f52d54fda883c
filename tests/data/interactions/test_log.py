"""Logs: each format, what is left out and told, the parts, and histories; bad files in one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from attnjax.config import InputError
from attnjax.data.interactions.config import InteractionData, PlantedLogData
from attnjax.data.interactions.files import read_events, read_titles
from attnjax.data.interactions.log import InteractionLog
from attnjax.data.interactions.parts import before, cut
from attnjax.data.interactions.prepare import prepared, read_log

ROWS = [("ann", "x", 3.0, 20.0), ("bob", "y", 4.0, 5.0), ("ann", "y", 5.0, 10.0)]
FILES = {
    "u.data": "\n".join("\t".join(map(str, row)) for row in ROWS),
    "ratings.dat": "\n".join("::".join(map(str, row)) for row in ROWS),
    "ratings.csv": "userId,movieId,rating,timestamp\n" + "\n".join(",".join(map(str, row)) for row in ROWS),
    "log.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    + "\n".join("\t".join(map(str, row)) for row in ROWS),
    "dates.csv": "time,item,user,weight\n"
    + "\n".join(f"1970-01-01T00:00:{int(row[3]):02},{row[1]},{row[0]},{row[2]}" for row in ROWS),
}


@pytest.mark.parametrize("name", [*FILES, "log.parquet"])
def test_every_format_gives_the_same_events(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "log.parquet":
        polars.DataFrame(ROWS, schema=["user", "item", "weight", "time"], orient="row").write_parquet(file)
    else:
        file.write_text(FILES[name])
    events = read_events(file)
    named = [events.user_names[i] for i in events.users], [events.item_names[i] for i in events.items]
    found = list(zip(*named, events.weights.tolist(), events.times.tolist(), strict=True))
    assert found == ROWS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "user,item,time\na,b,1\na,c,soon\n", r"a.csv:3: time is 'soon': expected a number"),
        ("a.csv", "user,item\na,b\n", r"a.csv: no column for time; expected one of time, timestamp"),
        ("a.csv", "user,item,time\na,,1\n", r"a.csv:2: item is None: expected a value"),
        ("a.csv", "user,item,time\na,b,1\na,b,2,3\n", r"a.csv: it cannot be read: found more fields"),
        ("a.csv", "user,item,time\n", r"a.csv: there is no event in it"),
        ("a.data", "1\t2\t3\n", r"a.data: 3 columns; expected user, item, rating, time"),
        ("a.txt", "", r"a.txt: expected u.data, ratings.dat, .csv, .inter or .parquet"),
    ],
)
def test_a_bad_file_is_one_line(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_events(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"no such file; .attnjax data fetch ml_100k. makes it"):
        read_events(tmp_path / "attnjax" / "corpora" / "ml_100k.inter")


def log_of(text: str, tmp_path: Path, **settings) -> tuple:
    file = tmp_path / "log.csv"
    file.write_text("user,item,time,weight\n" + text.replace(" ", "\n"))
    data = InteractionData(**{"log": file, "user_events": 2, **settings})
    return read_log(data)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    text = "a,x,3,1 a,y,1,1 a,x,3,1 a,z,3,1 a,x,9,1 b,x,1,1 b,z,2,1 b,y,1,0 c,x,1,1 d,w,1,1 d,x,2,1"
    log, report = log_of(text, tmp_path, min_weight=0.5, item_events=2)
    # y and w are too rare without the light event, so d has one event left, which is too few, as has c.
    assert log.user_names == ["a", "b"]
    assert [[log.item_names[i] for i in log.of_user(u)] for u in (0, 1)] == [["x", "z", "x"], ["x", "z"]]
    told = {"duplicates": 1, "repeats": 1, "ties": 1, "unordered": 0, "light": 1}
    assert {name: getattr(report, name) for name in told} == told
    assert (report.few_users, report.few_items, report.few_events) == (2, 2, 4)
    assert (report.lost_users, report.lost_items) == ({"c": 1, "d": 2}, {"y": 2, "w": 1})
    assert any("1 events of an item that its user had taken before" in line for line in report.lines())
    _, report = log_of(text, tmp_path)
    assert report.unordered == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,x,1,1 a,y,2,1", r"the log has 1 user\(s\): expected 2 or more"),
        ("a,x,1,1 b,y,2,1", r"no event is left of 2: lower data.user_events \(2\)"),
    ],
)
def test_too_little_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        log_of(text, tmp_path)


def test_times_that_go_backwards_are_refused() -> None:
    with pytest.raises(InputError, match="the times of user 'b' go backwards: 3 after 4"):
        InteractionLog(np.arange(4), np.array([9.0, 1, 4, 3]), np.array([0, 1, 4]), ["a", "b"], list("wxyz"))


@pytest.fixture
def log() -> InteractionLog:
    times = np.array([1, 2, 3, 9, 4, 5, 6, 8, 9.0])
    return InteractionLog(np.arange(9) % 5, times, np.array([0, 4, 7, 9]), list("abc"), list("vwxyz"))


def test_the_last_event_is_the_test_and_the_one_before_validation(log: InteractionLog) -> None:
    parts = cut(log, InteractionData())
    assert (parts.validation.at.tolist(), parts.test.at.tolist()) == ([2, 5], [3, 6])
    assert parts.test.users.tolist() == [0, 1]
    assert parts.ends.tolist() == [2, 5, 9]  # The third user has too few events, and is trained on alone.
    assert parts.trained_items().tolist() == [0, 1, 4, 2, 3]
    assert parts.counts().sum() == 5


def test_a_cut_in_time_never_trains_on_what_comes_later(log: InteractionLog) -> None:
    parts = cut(log, InteractionData(split="time", holdout=0.3))
    first, second = np.quantile(log.times, [0.4, 0.7])
    place = np.arange(9)
    owner = np.repeat(np.arange(3), np.diff(log.starts))
    trained = place < parts.ends[owner]
    assert (log.times[trained] < first).all()
    assert (log.times[~trained] >= first).all()
    assert (log.times[parts.test.at] >= second).all()
    assert parts.cold_users == 1  # c has no event before the second cut.
    assert 2 not in parts.test.users


def test_histories_end_before_the_event_that_is_asked_for(log: InteractionLog) -> None:
    found = before(log, np.array([0, 1]), np.array([3, 6]), 2)
    assert found.items.tolist() == [[1, 2], [4, 0]]
    assert found.times.tolist() == [[0, 1], [0, 1]]
    assert before(log, np.array([2]), np.array([7]), 2).lengths.tolist() == [0]


def test_a_log_is_mapped_from_its_folder(log: InteractionLog, tmp_path: Path, monkeypatch) -> None:
    log.save(tmp_path / "log")
    loaded = InteractionLog.load(tmp_path / "log")
    assert isinstance(loaded.items, np.memmap)
    assert (loaded.items == log.items).all()
    assert loaded.item_names == log.item_names
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("attnjax.data.interactions.prepare.WORTH_KEEPING", 100)
    data = InteractionData(planted=PlantedLogData(users=10, items=8, groups=4, events=20))
    logs = [read_log(data)[0] for _ in range(2)]
    assert all(isinstance(x.times, np.memmap) for x in logs)
    assert (logs[0].items == read_log(replace(data, seed=0))[0].items).all()


def test_titles_are_read_by_item(tmp_path: Path) -> None:
    file = tmp_path / "a.item"
    file.write_text("item_id:token\tmovie_title:token_seq\trelease:token\n1\tToy Story\t1995\n")
    assert read_titles(file) == {"1": "Toy Story"}
    (tmp_path / "a.csv").write_text("item,title\n1,Toy Story\n2,\n")
    assert read_titles(tmp_path / "a.csv") == {"1": "Toy Story"}


@pytest.mark.parametrize(
    ("name", "line"),
    [("u.item", "7|Misérables, Les (1995)|01-Jan-1995||0"), ("movies.dat", "7::Misérables, Les (1995)::War")],
)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_titles_are_read_as_movielens_has_them(tmp_path: Path, name: str, line: str, encoding: str) -> None:
    file = tmp_path / name
    file.write_bytes(f"{line}\r\n\n".encode(encoding))
    assert read_titles(file) == {"7": "Misérables, Les (1995)"}
    file.write_text("7 Les\n")
    with pytest.raises(InputError, match=f"{name}:1: '7 Les': expected an item"):
        read_titles(file)
    with pytest.raises(InputError, match=r"none.item: there is no such file"):
        read_titles(tmp_path / "none.item")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 1}, "data.length is 1"),
        ({"holdout": 0.5}, "data.holdout is 0.5"),
        ({"split": "random"}, "data.split is 'random': it must be one of leave_one_out, time"),
        ({"evaluation_users": 0}, "data.evaluation_users is 0"),
    ],
)
def test_settings_check_themselves(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionData(**change)


@pytest.mark.parametrize(
    "change", [{"items": 39}, {"groups": 7}, {"events": 17}, {"far": 1.0}, {"power": -1}]
)
def test_settings_of_a_generated_log_check_themselves(change: dict) -> None:
    with pytest.raises(InputError, match=f"data.planted.{next(iter(change))} is"):
        PlantedLogData(**change)


def test_all_of_the_events_of_a_frame_without_weights_are_kept() -> None:
    events = replace(
        read_events_of(["a", "b", "a", "b"], ["x", "y", "y", "x"]), times=np.array([2.0, 1, 1, 2])
    )
    log, report = prepared(events, InteractionData(user_events=1))
    assert log.of_user(0).tolist() == [1, 0]
    assert report.events == 4


def read_events_of(users: list[str], items: list[str]):
    from attnjax.data.interactions.files import Events

    numbers = [np.unique(names, return_inverse=True) for names in (users, items)]
    codes, ones = [x[1] for x in numbers], np.ones(len(users))
    return Events(*codes, ones, ones, *(x[0].tolist() for x in numbers))
