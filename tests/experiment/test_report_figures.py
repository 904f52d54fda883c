"""What the figures of a report show, looked up in matplotlib's objects."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from attnjax.cli import main
from attnjax.experiment.report import figures as report_figures
from attnjax.experiment.report.write import write_report
from tests.experiment.test_report import done, failed, made


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list:
    """Fills with the figures that a report draws."""
    drawn: list = []
    make_png = report_figures._png
    monkeypatch.setattr(report_figures, "_png", lambda figure: drawn.append(figure) or make_png(figure))
    return drawn


def test_a_trial_pruned_after_one_validation_is_seen(tmp_path: Path, capsys, figures) -> None:
    """In the terminal's table and, as a point, in the figure."""
    stopped = {**failed("behind"), "status": "pruned"}
    sweep = made(tmp_path / "made", [({"model.dim": 16}, done(1.0)), ({"model.dim": 32}, stopped)])
    for number, losses in enumerate([[0.3, 0.2, 0.1], [0.9]]):
        rows = [{"split": "validation", "step": 10 * i, "loss": loss} for i, loss in enumerate(losses)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (sweep.trial(number).folder / "metrics.jsonl").write_text(lines)
    assert main(["report", str(sweep.folder)]) == 0
    shown = capsys.readouterr().out
    cells = [re.split("[│┃]", line)[-4:-1] for line in shown.splitlines() if line[:1] in "│┃"]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ["n", "failed", "pruned"],
        ["1", "0", "0"],
        ["0", "0", "1"],
    ]
    training = next(figure for figure in figures if figure.axes[0].get_ylabel() == "validation loss")
    assert [line.get_marker() for line in training.axes[0].lines] == ["", "o"]


def test_every_figure_says_what_it_rests_on(tmp_path: Path, figures) -> None:
    rng = np.random.default_rng(0)
    changes = [{"train.rate": rate, "model.norm": n} for rate in range(13) for n in ("pre", "post")]
    trials = [({**one, "seed": seed}, done(rng.normal())) for one in changes for seed in (0, 1)]
    sweep = made(tmp_path / "made", [*trials, ({**changes[0], "seed": 2}, failed("nan"))])
    (sweep.trial(0).folder / "metrics.jsonl").write_text('{"split": "train", "step": 1, "loss": 1.0}\n')
    report = write_report(sweep)
    drawn = [file.stem for file in report.files if file.suffix == ".png"]
    titles = [figure.get_suptitle() or figure.axes[0].get_title("left") for figure in figures]
    text = "52 trials in 26 settings, up to 2 seeds each"
    assert {name: title.splitlines()[-1] for name, title in zip(drawn, titles, strict=True)} == {
        "curves": text,
        "scatter": text,
        "importance": text,
        "training": "1 trial, up to 2 seeds a setting; the best setting in colour",
    }
