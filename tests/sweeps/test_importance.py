"""What each field explains of the difference between settings, computed another way."""

import statistics
from pathlib import Path

import numpy as np
import pytest

from attnjax.cli import main
from attnjax.sweeps.report.table import findings
from attnjax.sweeps.report.write import write_report
from tests.sweeps.test_report import DIMS, HEADS, done, made, score


def test_importance_is_the_first_order_share_of_the_variance(tmp_path: Path) -> None:
    grid = [({"model.heads": h, "model.dim": d}, done(score(h, d, 0))) for h in HEADS for d in DIMS]
    table = np.array([[score(h, d, 0) for d in DIMS] for h in HEADS])
    shares = findings(made(tmp_path / "made", grid)).importance
    assert shares["model.heads"] == pytest.approx(table.mean(1).var() / table.var())
    assert shares["model.dim"] == pytest.approx(table.mean(0).var() / table.var())
    assert sum(shares.values()) == pytest.approx(1)  # The table is a sum: nothing is left for the rest.


def test_off_a_full_grid_importance_is_less_what_as_many_groups_explain_by_chance(tmp_path: Path) -> None:
    """The adjusted R² of a regression on the field's values, which is epsilon squared."""
    rng = np.random.default_rng(3)
    chosen = [(d, s) for d in DIMS for s in range(3) if (d, s) != (64, 2)]
    ys = [d / 16 + rng.normal() / 4 for d, _ in chosen]
    trials = [({"dim": d, "step": s}, done(y)) for (d, s), y in zip(chosen, ys, strict=True)]
    shares = findings(made(tmp_path / "made", trials)).importance
    for name, column in (("dim", [d for d, _ in chosen]), ("step", [s for _, s in chosen])):
        dummies = np.array([[float(x == value) for value in sorted(set(column))] for x in column])
        left = np.array(ys) - dummies @ np.linalg.lstsq(dummies, np.array(ys))[0]
        adjusted = 1 - left.var() / np.var(ys) * (8 - 1) / (8 - 3)
        assert shares[name] == pytest.approx(max(0.0, adjusted))
    assert shares["dim"] > 0.5


def test_a_field_with_another_value_in_every_setting_explains_nothing(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    few = [({"model.dim": 16 * i, "model.heads": i}, done(rng.normal())) for i in range(1, 5)]
    report = write_report(made(tmp_path / "few", few))
    assert report.found.importance == {}
    assert "importance.png" not in {file.name for file in report.files}
    many = [({"train.rate": i, "model.norm": f"n{i}"}, done(i)) for i in range(12)]
    report = write_report(made(tmp_path / "many", many))
    between = 4 * 3 * statistics.pvariance([1, 4, 7, 10]) / (12 * statistics.pvariance(range(12)))
    assert report.found.importance == {"train.rate": pytest.approx(1 - (1 - between) * 11 / 8)}
    page = (tmp_path / "many" / "report" / "report.html").read_text()
    assert "between 12 settings" in page
    assert "model.norm: what it explains on its own cannot be told" in page
    assert main(["report", str(tmp_path / "few")]) == 0
    shown = capsys.readouterr().out
    assert "model.dim: cannot be told" in shown
    assert "model.heads: cannot be told" in shown


def test_equal_means_leave_nothing_to_explain(tmp_path: Path, capsys) -> None:
    """Three times 0.1 is 0.3 and a little: the mean of equal numbers need not be that number."""
    trials = [({"model.dim": d, "model.heads": 2 * h}, done(0.1)) for d in (16, 32, 64) for h in (1, 2, 3)]
    folder = made(tmp_path / "made", trials).folder
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "nothing varies: all settings have the same mean" in shown
    assert "explains" not in shown
    assert "importance.png" not in shown
    assert "Nothing varies: all settings have the same mean." in (folder / "report/report.html").read_text()
