"""What the figures of a report show, looked up in matplotlib's objects."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from attnjax.cli import main
from attnjax.runs.report.plot_axes import shown_labels
from attnjax.sweeps.report.selection import select
from attnjax.sweeps.report.table import findings
from attnjax.sweeps.report.write import write_report
from attnjax.sweeps.store import Sweep
from tests.sweeps.test_report import done, failed, made


def drawn(sweep: Sweep, *axes: str) -> dict[str, Figure]:
    """The figures of a report, by name."""
    return {name: figure for name, (figure, _) in select(findings(sweep), axes).items()}


def with_losses(sweep: Sweep, losses: list[list[float]]) -> Sweep:
    """The sweep, with validations of its trials every 10 steps."""
    for number, curve in enumerate(losses):
        rows = [{"split": "validation", "step": 10 * i, "loss": loss} for i, loss in enumerate(curve)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (sweep.trial(number).folder / "metrics.jsonl").write_text(lines)
    return sweep


def test_a_trial_pruned_after_one_validation_is_seen(tmp_path: Path, capsys) -> None:
    """In the terminal's table and, as a point, in the figure."""
    stopped = {**failed("behind"), "status": "pruned"}
    sweep = made(tmp_path / "made", [({"model.dim": 16}, done(1.0)), ({"model.dim": 32}, stopped)])
    with_losses(sweep, [[0.3, 0.2, 0.1], [0.9]])
    assert main(["report", str(sweep.folder)]) == 0
    shown = capsys.readouterr().out
    cells = [re.split("[│┃]", line)[-4:-1] for line in shown.splitlines() if line[:1] in "│┃"]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ["n", "failed", "pruned"],
        ["1", "0", "0"],
        ["0", "0", "1"],
    ]
    training = drawn(sweep)["training"].axes[0]
    assert training.get_ylabel() == "validation loss"
    assert [line.get_marker() for line in training.lines] == ["", "o"]


@pytest.mark.parametrize("count", [12, 13])
def test_many_names_stand_below_each_other(tmp_path: Path, count: int) -> None:
    """Below an axis they would take the room of what is drawn."""
    trials = [({"model.mechanism": f"kind{i}(of={i})"}, done(i)) for i in range(count)]
    figures = drawn(made(tmp_path / "made", trials))
    assert set(figures) == ({"parts"} if count > 12 else {"curves"})
    if count > 12:
        assert len(figures["parts"].axes[0].get_yticklabels()) == count


@pytest.mark.parametrize("count", [3, 12])
def test_the_best_setting_is_named_in_the_training_figure_and_others_where_they_are_few(
    tmp_path: Path, count: int
) -> None:
    trials = [({"model.dim": 16 * i, "seed": seed}, done(i)) for i in range(count) for seed in (0, 1)]
    sweep = with_losses(made(tmp_path / "made", trials), [[2.0, 1.0]] * (2 * count))
    figure = drawn(sweep)["training"]
    (legend,) = figure.legends
    best, *others = [text.get_text() for text in legend.get_texts()]
    assert best == f"best: dim={16 * (count - 1)}"
    assert others == (["dim=16", "dim=0"] if count == 3 else ["each other setting"])
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert colours[-1] == colours[-2] == legend.get_lines()[0].get_color()
    assert colours[-1] not in colours[:-2]


def test_every_figure_says_what_it_rests_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    changes = [{"train.rate": rate, "model.norm": n} for rate in range(13) for n in ("pre", "post")]
    trials = [({**one, "seed": seed}, done(rng.normal())) for one in changes for seed in (0, 1)]
    sweep = made(tmp_path / "made", [*trials, ({**changes[0], "seed": 2}, failed("nan"))])
    (sweep.trial(0).folder / "metrics.jsonl").write_text('{"split": "train", "step": 1, "loss": 1.0}\n')
    text = "52 trials in 26 settings, up to 2 seeds each"
    titles = {n: f.get_suptitle() or f.axes[0].get_title("left") for n, f in drawn(sweep).items()}
    assert {name: title.splitlines()[-1] for name, title in titles.items()} == {
        "curves": text,
        "importance": text,
        "training": "1 trial, up to 2 seeds a setting; a line is a trial",
    }


DESIGNS = {
    "a search over decades": {"train.learning_rate": (1e-4, 1e-2, True)},
    "a search over less than a decade": {"train.learning_rate": (2e-4, 9e-4, True)},
    "a search over fractions": {
        "train.dropout": (0.0, 0.0123, False),
        "train.weight_decay": (0.01, 0.1, True),
    },
    "four fields": {f"train.f{i}": (10.0**i, 3 * 10.0**i, i % 2 == 1) for i in range(-2, 2)},
}


@pytest.mark.parametrize("design", DESIGNS)
def test_tick_labels_of_a_search_are_short_and_do_not_touch(tmp_path: Path, design: str) -> None:
    rng, space = np.random.default_rng(0), DESIGNS[design]
    ranges = {
        name: {"low": low, "high": high, "log": log, "integer": False}
        for name, (low, high, log) in space.items()
    }
    trials = []
    for _ in range(9):
        draws = {name: rng.uniform(low, high) for name, (low, high, _) in space.items()}
        trials.append(({**draws, "model.heads": int(rng.choice([2, 4]))}, done(rng.normal())))
    sweep = made(tmp_path / "made", trials, search={"trials": 9, "space": ranges})
    figure = drawn(sweep)["scatter"]
    figure.draw_without_rendering()
    for panel in figure.axes[: len(space) + 1]:
        if name := panel.get_xlabel():
            labels = shown_labels(panel, 0)
            boxes = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in labels))
            assert 2 <= len(labels) <= 6, name
            assert max(len(label.get_text()) for label in labels) <= 7
            assert all(end < start for (_, end), (start, _) in itertools.pairwise(boxes))
            assert panel.get_xscale() == ("log" if space.get(name, (0, 0, False))[2] else "linear")


def test_tick_labels_of_a_grid_do_not_touch(tmp_path: Path) -> None:
    """Each value has its tick, though not its label where that of another is in the way."""
    rates = (0.0, 0.001, 0.002, 0.5, 1.0)
    curves = drawn(made(tmp_path / "made", [({"train.dropout": rate}, done(rate)) for rate in rates]))[
        "curves"
    ]
    assert tuple(curves.axes[0].get_xticks()) == rates
    assert [label.get_text() for label in shown_labels(curves.axes[0], 0)] == ["0", "0.5", "1"]


def test_the_curve_is_drawn_against_the_most_important_field(tmp_path: Path) -> None:
    """Whatever the order in which the sweep names them; not against another where that one was drawn."""
    fields = ("model.heads", "model.dim", "train.dropout")
    grid = [dict(zip(fields, (h, d, p), strict=True)) for h in (2, 4) for d in (16, 32) for p in (0.0, 0.1)]
    for most in fields:
        trials = [
            (one, done(10 * one[most] / max(c[most] for c in grid) + one["model.dim"] / 99)) for one in grid
        ]
        sweep = made(tmp_path / most, trials)
        assert drawn(sweep)["curves"].axes[0].get_xlabel() == most
    assert (
        drawn(sweep, "model.heads", "train.dropout", "model.dim")["curves"].axes[0].get_xlabel()
        == "model.dim"
    )
    rates = np.random.default_rng(0).uniform(0, 1, 16)
    trials = [({"train.rate": rate, "model.heads": 2 + i % 2}, done(rate)) for i, rate in enumerate(rates)]
    assert set(drawn(made(tmp_path / "drawn", trials))) == {"scatter", "importance"}


@pytest.mark.parametrize(("metric", "highest"), [("test/exact match %", 100.0), ("test/other", 116.0)])
def test_error_bars_end_where_the_metric_does(tmp_path: Path, metric: str, highest: float) -> None:
    trials = []
    for dim in (16, 32):
        for seed, value in enumerate([98 - 18, 98 + 2, 98 + 16 if metric == "test/other" else 100]):
            result = done(0.0)
            result["metrics"]["test"] = {metric.partition("/")[2]: value}
            trials.append(({"model.dim": dim, "seed": seed}, result))
    curves = drawn(made(tmp_path / "made", trials, metric=metric))["curves"]
    tops = [segment[:, 1].max() for segment in curves.axes[0].collections[0].get_segments()]
    values = [result["metrics"]["test"][metric.partition("/")[2]] for _, result in trials[:3]]
    reach = np.mean(values) + np.std(values, ddof=1)
    assert reach > 100
    assert tops == pytest.approx([min(reach, highest)] * 2)


def test_figures_are_written_for_the_screen_and_for_papers_with_the_same_bytes_each_time(
    tmp_path: Path,
) -> None:
    sweep = made(tmp_path / "made", [({"model.dim": dim}, done(dim)) for dim in (16, 32)])
    once, again = ([file.read_bytes() for file in write_report(sweep).files] for _ in range(2))
    assert once == again
    folder = sweep.folder / "report"
    beginnings = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF-"}
    for format, beginning in beginnings.items():
        assert (folder / f"curves.{format}").read_bytes().startswith(beginning)
    assert b"/Type3" not in (folder / "curves.pdf").read_bytes()
