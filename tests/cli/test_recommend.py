"""`attnjax predict` with a recommender as small as it gets: its answers mean nothing."""

import json
from pathlib import Path

import polars
import pytest

from attnjax.cli import main
from attnjax.experiment import registry
from attnjax.runs.weights import default_weights

SMALL = """
    --model.dim 8 --model.heads 2 --model.layers 1 --model.hidden 8 --train.steps 6 --train.batch_size 4
    --train.log_every 2 --train.checkpoint_every 2 --train.warmup_steps 1 --data.length 6 --devices 1
    --model.max_length 6 --train.learning_rate 0.3
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recommend")
    log, titles = folder / "log.csv", folder / "titles.csv"
    rows = [f"u{user},i{(user * step) % 13},{step}" for user in range(1, 9) for step in range(1, 7)]
    log.write_text("user,item,time\n" + "\n".join(rows) + "\n")
    titles.write_text("item,title\n" + "\n".join(f"i{i},Film {i}" for i in range(13)) + "\n")
    given = ["--data.log", str(log), "--data.titles", str(titles), "--runs", str(folder / "runs")]
    assert main(["run", "recommendation", *SMALL.split(), *given]) == 0
    return folder / "runs"


def predict(runs: Path, *arguments: str) -> int:
    return main(["predict", "recommendation", *arguments, "--runs", str(runs)])


def test_a_user_is_answered_with_titles_scores_and_the_past(runs: Path, capsys) -> None:
    assert predict(runs, "--user", "u3", "-k", "4", "--because", "2", "--exclude-seen") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for line in lines:
        own, because = line.split("  ← ")
        assert own.split("  ")[1].startswith("Film ")
        assert because.count("attention") == because.count("without it") == 2
    assert (
        predict(runs, "--user", "nobody", "--similar", "i1", "--history", "i1, i2", "--json", "-k", "2") == 0
    )
    history, cold, near = map(json.loads, capsys.readouterr().out.splitlines())
    assert cold["note"].startswith("user 'nobody' has no event in the log")
    assert len(history["items"]) == len(near["items"]) == 2


def test_the_best_validation_is_what_is_evaluated_and_what_answers(runs: Path, capsys) -> None:
    (file,) = runs.glob("recommendation-*/result.json")
    result = json.loads(file.read_text())
    assert result["weights"] == "best"
    assert result["best"]["step"] < result["step"], "the test needs a best one that is not the last"
    found = []
    for given in ((), ("--weights", "best"), ("--weights", "last")):
        assert predict(runs, "--user", "u3", "--json", *given) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("name", ["recommendation", "movielens", "interest"])
def test_each_recommender_says_that_its_best_validation_counts(name: str) -> None:
    registry.discover()
    assert default_weights(registry.default_config(registry.find(name))) == "best"


def test_many_users_are_written_into_a_file(runs: Path, tmp_path: Path) -> None:
    users, file = tmp_path / "users.txt", tmp_path / "found.parquet"
    users.write_text("\n".join(f"u{user}\n" for user in range(1, 9)))  # Blank lines have no rows.
    assert predict(runs, "--file", str(users), "-k", "3", "--because", "0", "--parquet", str(file)) == 0
    found = polars.read_parquet(file)
    assert found["input"].to_list() == [f"u{user}" for user in range(1, 9) for _ in range(3)]
    assert found["rank"].to_list() == [1, 2, 3] * 8
    assert {"item", "title", "score"} <= set(found.columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--history", "i1, q7"), "item 'q7' was never seen: the log has 12, such as "),
        (("--user", "u1", "--candidates", "q7"), "item 'q7' was never seen"),
        (("--user", "u1", "--beams", "2"), "has no use for beams: its answers take because, candidates"),
        (("--user", "u1", "-k", "0"), "k is 0: it must be 1 or more"),
        (("--user", "u1", "--file", "x"), "--file comes with --user, --history or --similar"),
        (("--user", " "), "--user is ' ': expected the name of a user"),
        (("--user", "u1", "--parquet", "no/a.parquet"), "--parquet is 'no/a.parquet': there is no folder"),
        (("--user", "u1", "--parquet", "/"), "--parquet is '/': that is a folder"),
    ],
)
def test_what_is_asked_badly_is_one_line(
    runs: Path, arguments: tuple[str, ...], message: str, capsys
) -> None:
    assert predict(runs, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
