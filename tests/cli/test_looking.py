"""Looking at runs: their list, the report of one, two or more side by side."""

import json
import os
import re
from pathlib import Path

from attnjax.train.head_numbers import NUMBERS
from tests.toy_runs import RUN, WHERE, edit, only_run, result


def test_the_list_of_runs_has_the_newest_first(attnjax, monkeypatch):
    attnjax(*RUN)
    finished = only_run()
    for file in finished.iterdir():
        os.utime(file, (1, 1))
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "12")
        attnjax(*RUN, "--line.slope", "3", "--seed", "7")
    stopped = next(folder for folder in Path("runs").iterdir() if folder != finished)
    Path("runs/damaged").mkdir()
    Path("runs/damaged/config.json").write_text("{")
    os.utime("runs/damaged/config.json", (0, 0))
    code, out, _ = attnjax("runs", *WHERE)
    assert code == 0
    head, first, second, third = (re.split(r"  +", line) for line in out.splitlines())
    assert head == ["run", "state", "score", "age", "changes from the default"]
    assert first[:2] == [stopped.name, f"stopped at {_last_step(stopped)}/20"]
    assert first[2].startswith("validation: error ")
    assert first[-1] == "line.slope=3.0 seed=7"
    assert second[:2] == [finished.name, "finished"]
    assert second[2] == f"all points: error {result(finished)['metrics']['all points']['error']:.4g}"
    assert third[0] == "damaged"
    assert third[1].startswith("damaged: ")
    assert "there are no runs of recall in runs" in attnjax("runs", "recall", *WHERE)[2]


def _last_step(folder: Path) -> int:
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]


def test_the_report_of_a_run_is_one_page_with_its_curves(attnjax, monkeypatch):
    monkeypatch.setenv("TOY_NAN_SLOPE", "2.0")
    attnjax(*RUN, "--seed", "1")
    code, out, err = attnjax("report", "toy", *WHERE)
    assert code == 0, err
    report = only_run() / "report"
    assert {file.name for file in report.iterdir()} == {
        "report.html",
        "training.png",
        "training.svg",
        "training.pdf",
    }
    assert str(report / "report.html") in out
    page = (report / "report.html").read_text()
    for text in (only_run().name, "seed=1", "2 parameters", "all points", "nan", "name='viewport'", "<img "):
        assert text in page
    assert "Heads of attention" not in page
    edit(only_run() / "result.json", "heads", value={"blocks.0.attention": dict.fromkeys(NUMBERS, 0.25)})
    assert attnjax("report", "toy", *WHERE)[0] == 0
    assert "<td>blocks.0.attention</td><td>0.25</td>" in (report / "report.html").read_text()
    assert "http" not in page, "a page that needs nothing else"
    code, _, err = attnjax("report", "other", *WHERE)
    assert code == 2
    assert "neither a run in runs nor a sweep in runs/sweeps is called 'other'" in err
    code, _, err = attnjax("report", "toy", "--mode", "max", *WHERE)
    assert code == 2
    assert "--mode is for a sweep" in err


def test_the_report_of_a_stopped_run_says_how_it_goes_on_and_has_no_empty_table(attnjax, monkeypatch):
    monkeypatch.setenv("TOY_TERMINATED_IN_STEP", "3")
    assert attnjax(*RUN, "--train.log_every", "2", "--train.checkpoint_every", "10")[0] == 143
    assert attnjax("report", "toy", *WHERE)[0] == 0
    page = (only_run() / "report" / "report.html").read_text()
    assert f"Not finished: step {_last_step(only_run())} of 20" in page
    assert "The same command goes on." in page
    assert "Validations" not in page


def test_compare_shows_what_differs_and_the_results_side_by_side(attnjax):
    attnjax(*RUN)
    attnjax(*RUN, "--line.slope", "3")
    runs = sorted(str(folder) for folder in Path("runs").iterdir())
    code, out, _ = attnjax("compare", *runs, *WHERE)
    assert code == 0
    assert re.search(r"line\.slope +│ (2 +│ 3|3 +│ 2) ", out)
    assert "train.steps" not in out
    assert "all points: error" in out
    runs += [runs[0]] * 3
    code, out, _ = attnjax("compare", *runs, *WHERE)
    lines = [line for line in out.splitlines() if "toy-" in line]
    assert len(lines) == 2 * len(runs), "a line for each of many runs, in both tables"
