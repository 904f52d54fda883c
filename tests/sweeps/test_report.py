"""The report's numbers, computed another way; its files agree; one page with all inside."""

import csv
import json
import re
import statistics
from pathlib import Path

import numpy as np
import polars
import pytest

from attnjax.cli import main
from attnjax.config import InputError
from attnjax.sweeps.report.table import findings, pooled
from attnjax.sweeps.report.write import write_report
from attnjax.sweeps.store import Sweep
from attnjax.train.head_numbers import NUMBERS

HEADS, DIMS, SEEDS = (2, 4), (16, 32, 64), (0, 1, 2)
PNG = b"\x89PNG\r\n"


def score(heads: int, dim: int, seed: int) -> float:
    return 10 * heads + dim + [0.0, 1.0, 5.0][seed]


def write(path: Path, data) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def made(folder: Path, trials: list[tuple[dict, dict]], **record) -> Sweep:
    """A sweep folder of (changes, result) pairs."""
    changes = [{"number": i, "changes": c} for i, (c, _) in enumerate(trials)]
    base = {
        "name": "made<b>",
        "experiment": "toy",
        "file": "toy.py",
        "fingerprint": "0",
        "config": {"seed": 0},
    }
    extra = {"trials": changes, "metric": "test/score", "mode": "max", "summary": "A & B", "command": "x"}
    write(folder / "sweep.json", {**base, **extra, **record})
    plan = {"batching": "map", "width": 8, "devices": 1, "monitor": ["loss", "min"], "seconds_per_step": {}}
    write(folder / "plan.json", {**plan, "per_pack": 0, "keep_params": "best", "packs": 1})
    for i, (_, result) in enumerate(trials):
        write(folder / "trials" / f"{i:04d}" / "result.json", result)
    return Sweep(folder)


def done(value: float) -> dict:
    metrics = {"test": {"score": value, "other": 1.0}}
    return {
        "status": "done",
        "step": 9,
        "reason": None,
        "params_hash": "ab",
        "validation": {"loss": -value},
        "metrics": metrics,
        "heads": {f"blocks.{i}.attention": dict.fromkeys(NUMBERS, value + i) for i in (0, 1)},
    }


def failed(reason: str) -> dict:
    return {**done(0), "status": "failed", "reason": reason, "metrics": {}, "validation": {}, "heads": {}}


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """A full grid, of which one trial failed."""
    trials = [
        ({"model.heads": h, "model.dim": d, "seed": s}, done(score(h, d, s)))
        for h in HEADS
        for d in DIMS
        for s in SEEDS
    ]
    trials[4] = (trials[4][0], failed("loss nan <here>"))
    return made(tmp_path / "made", trials)


def test_settings_have_mean_sample_sd_and_count_over_seeds(sweep: Sweep) -> None:
    found = findings(sweep)
    best = found.best
    assert best.changes == {"model.heads": 4, "model.dim": 64}
    values = [score(4, 64, seed) for seed in SEEDS]
    assert (best.mean, best.sd) == (np.mean(values), pytest.approx(np.std(values, ddof=1)))
    (broken,) = [s for s in found.settings if s.failed]
    assert (broken.changes, len(broken.values)) == ({"model.heads": 2, "model.dim": 32}, 2)
    assert broken.mean == statistics.fmean([score(2, 32, 0), score(2, 32, 2)])
    means = [setting.mean for setting in found.settings]
    assert means == sorted(means, reverse=True)
    assert found.counts == {"done": 17, "failed": 1}
    assert found.axes == {"model.heads": [2, 4], "model.dim": [16, 32, 64]}


def test_numbers_on_heads_are_means_over_layers_and_trials(sweep: Sweep) -> None:
    found = findings(sweep)
    best, (broken,) = found.best, [s for s in found.settings if s.failed]
    assert best.heads == pytest.approx(dict.fromkeys(NUMBERS, best.mean + 0.5))
    assert broken.heads == pytest.approx(dict.fromkeys(NUMBERS, broken.mean + 0.5))
    write_report(sweep)
    page = (sweep.folder / "report" / "report.html").read_text()
    cells = page.partition("<h2>Heads of attention</h2>")[2].partition("</table>")[0]
    assert f"<td>{best.mean + 0.5:.4g}</td>" in cells
    (row,) = (
        polars.read_csv(sweep.folder / "report" / "trials.csv").filter(polars.col("number") == 0).to_dicts()
    )
    assert row["heads/sink"] == score(2, 16, 0) + 0.5


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), None])
def test_a_measure_that_is_no_number_is_not_averaged_and_told(tmp_path: Path, capsys, nothing) -> None:
    results = [done(3.0), done(0.0)]
    results[1]["metrics"]["test"]["score"] = results[1]["validation"]["loss"] = nothing
    sweep = made(tmp_path / "made", [({"model.dim": dim}, results[dim]) for dim in (0, 1)])
    rows = [{"split": "validation", "step": step, "loss": nothing} for step in (1, 2)]
    write(sweep.trial(1).folder / "metrics.jsonl", rows[0])
    assert main(["report", str(sweep.folder)]) == 0
    assert "trial 1 (dim=1): test/score is no finite number\n" in capsys.readouterr().out
    assert findings(sweep).values == {0: 3.0}
    page = (sweep.folder / "report" / "report.html").read_text()
    assert (
        "test/score is no finite number here; no mean counts these trials.</p>\n<ul><li>trial 1 (dim=1)"
        in page
    )
    none = made(tmp_path / "none", [({"model.dim": dim}, results[1]) for dim in (0, 1)])
    for metric in ("test/score", None):
        with pytest.raises(
            InputError, match=f"{metric or 'validation loss'} is no finite number in any of 2"
        ):
            findings(made(none.folder, [({}, results[1])] * 2, metric=metric))


def test_every_file_tells_the_same(sweep: Sweep) -> None:
    folder = sweep.folder / "report"
    folder.mkdir()
    (folder / "stale.png").write_bytes(PNG)
    report = write_report(sweep)
    assert {file.name for file in report.files} == {file.name for file in folder.iterdir()}
    trials = polars.read_parquet(folder / "trials.parquet")
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["metric"]) if row["metric"] else None for row in rows] == trials["metric"].to_list()
    assert trials["metric"].null_count() == 1
    assert trials["test/score"].to_list()[0] == score(2, 16, 0)
    table = polars.read_csv(folder / "table.csv")
    assert table["mean"].to_list() == [setting.mean for setting in report.found.settings]
    page = (folder / "report.html").read_text()
    for mean in table["mean"]:
        assert f"<td data-value='{mean}'>" in page or f"<td>{mean}</td>" in page
    assert all((folder / f"{name}.png").read_bytes().startswith(PNG) for name in ("heatmap", "curves"))


def test_the_page_holds_all_that_it_shows_and_escapes_what_it_quotes(sweep: Sweep) -> None:
    write_report(sweep)
    page = (sweep.folder / "report" / "report.html").read_text()
    sources = re.findall(r"<img[^>]* src='([^']*)'", page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.findall(r"(?:src|href)=(?!'data:)", page)
    assert "http" not in page
    assert "made&lt;b&gt;" in page
    assert "A &amp; B" in page
    assert "loss nan &lt;here&gt;" in page
    assert "17 done, 1 failed" in page


def test_a_phone_shows_the_page_and_no_value_has_more_digits_than_it_means(tmp_path: Path) -> None:
    rates = np.random.default_rng(0).uniform(0.1, 1, 20)
    scores = [(i, seed, 81.61 - i + 6 * (seed - 1)) for i in range(20) for seed in (0, 1, 2)]
    trials = [({"train.rate": rates[i], "seed": seed}, done(score)) for i, seed, score in scores]
    sweep = made(tmp_path / "made", trials)
    write_report(sweep)
    page = (sweep.folder / "report" / "report.html").read_text()
    assert "<meta name='viewport' content='width=device-width, initial-scale=1'>" in page
    wide = re.findall(r"(.{18})<(?:table|img)", page)
    assert len(wide) == 4
    assert set(wide) == {"<div class='wide'>"}  # A box of its own, which scrolls.
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\d\.\d{5}", shown)
    assert "Best setting:  82  ± 6 over 3 seeds" in shown


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_a_design_of_any_number_of_axes_is_drawn(tmp_path: Path, count: int) -> None:
    names = ["model.dim", "train.dropout", "model.bias", "data.words"][:count]
    values = [(16, 32), (0.0, 0.3), (True, False), (None, 3)]
    rng, trials = np.random.default_rng(0), []
    for choice in np.ndindex(*(2,) * count):
        changes = {name: values[i][choice[i]] for i, name in enumerate(names)}
        trials += [({**changes, "seed": seed}, done(rng.normal())) for seed in (0, 1)]
    report = write_report(made(tmp_path / "made", trials))
    drawn = {file.stem for file in report.files if file.suffix == ".png"}
    expected = [set(), {"curves"}, {"heatmap", "curves", "importance"}]
    assert drawn == expected[min(count, 2)]


def test_random_draws_are_scattered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rates = 10.0 ** rng.uniform(-4, -1, 20)
    report = write_report(made(tmp_path / "made", [({"train.rate": r}, done(r)) for r in rates]))
    assert {"scatter.png", "importance.png"} <= {file.name for file in report.files}
    assert report.found.importance["train.rate"] > 0.5


def test_without_a_measure_the_last_validation_counts_by_the_monitor(tmp_path: Path) -> None:
    trials = [({"model.dim": d}, done(d)) for d in DIMS]
    found = findings(made(tmp_path / "made", trials, metric=None, mode=None))
    assert (found.metric, found.mode) == ("validation loss", "min")
    assert found.best.changes == {"model.dim": 64}  # Its loss is the lowest.


def test_errors_name_what_there_is(tmp_path: Path, sweep: Sweep) -> None:
    with pytest.raises(
        InputError, match="no trial has the metric 'test/scor'; there are test/score, test/other"
    ):
        findings(made(tmp_path / "a", [({"x": 1}, done(1))], metric="test/scor"))
    with pytest.raises(InputError, match="no finished trial yet: 1 failed"):
        findings(made(tmp_path / "b", [({"x": 1}, failed("nan"))]))
    with pytest.raises(InputError, match=r"does not vary 'model.dims'; did you mean model.dim"):
        write_report(sweep, axes=["model.dims"])


def test_another_measure_can_be_reported(tmp_path: Path) -> None:
    sweep = made(tmp_path, [({"x": 1}, done(1)), ({"x": 2}, done(3))], metric="test/other")
    assert write_report(sweep, metric="test/score", mode="max").found.best.changes == {"x": 2}
    assert write_report(sweep, metric="test/score", mode="min").found.best.changes == {"x": 1}


def test_the_command_prints_the_table_and_the_files(sweep: Sweep, capsys) -> None:
    assert main(["report", str(sweep.folder)]) == 0
    shown = capsys.readouterr().out
    assert "17 done, 1 failed" in shown
    assert "model.dim explains" in shown
    assert "loss nan <here>" in shown
    assert "report.html" in shown
    assert main(["report", "nothing"]) == 2


def test_settings_taken_together_have_the_spread_of_their_seeds(sweep: Sweep) -> None:
    """The scores of a setting spread alike, however far the settings lie apart."""
    found = findings(sweep)
    cell = pooled(found, {"model.heads": 4})
    assert cell is not None
    scores = [score(4, dim, seed) for dim in DIMS for seed in SEEDS]
    assert (cell.mean, cell.n) == (pytest.approx(statistics.fmean(scores)), 9)
    assert cell.sd == pytest.approx(statistics.stdev([0.0, 1.0, 5.0]))
    assert pooled(found, {"model.heads": 3}) is None


def test_names_come_with_the_best_first_and_every_row_of_the_evaluation_is_drawn(tmp_path: Path) -> None:
    """One field of names, two rows in the evaluation table: they stand for a second field."""
    trials = []
    for name, value in {"low": 1.0, "high": 3.0, "middle": 2.0}.items():
        for seed in SEEDS:
            result = done(value + seed / 10)
            result["metrics"]["beyond"] = {"score": -value}
            trials.append(({"model.norm": name, "seed": seed}, result))
    report = write_report(made(tmp_path / "made", trials))
    assert report.found.axes == {"model.norm": ["high", "middle", "low"]}
    assert {file.stem for file in report.files if file.suffix == ".png"} == {"curves", "parts"}
    beyond = findings(report.found.sweep, "beyond/score")
    assert beyond.axes == {"model.norm": ["low", "middle", "high"]}
    cell = pooled(beyond, {"model.norm": "high"})
    assert cell is not None
    assert (cell.mean, cell.n) == (-3.0, 3)


def test_a_field_that_some_trials_leave_alone_has_the_base_configs_value(tmp_path: Path) -> None:
    config = {"seed": 0, "model": {"dim": 64}, "train": {"dropout": 0.1}}
    trials = [({}, done(1)), ({"train.dropout": 0.2}, done(2)), ({"model.dim": 32}, done(3))]
    trials.append(({"model.dim": 32, "train.dropout": 0.1, "seed": 1}, done(5)))
    report = write_report(made(tmp_path / "made", trials, config=config))
    assert report.found.axes == {"train.dropout": [0.1, 0.2], "model.dim": [32, 64]}
    table = polars.read_csv(tmp_path / "made" / "report" / "table.csv")
    assert table.select("train.dropout", "model.dim", "mean", "n").rows() == [
        (0.1, 32, 4.0, 2),
        (0.2, 64, 2.0, 1),
        (0.1, 64, 1.0, 1),
    ]


def test_seeds_of_parts_are_seeds(tmp_path: Path) -> None:
    trials = [
        ({"model.dim": dim, "seed": seed, "data.seed": seed}, done(dim + seed))
        for dim in (4, 8)
        for seed in (0, 2)
    ]
    found = findings(made(tmp_path / "made", trials, config={"seed": 0, "data": {"seed": 0}}))
    assert found.axes == {"model.dim": [4, 8]}
    assert [(setting.changes, setting.mean) for setting in found.settings] == [
        ({"model.dim": 8}, 9.0),
        ({"model.dim": 4}, 5.0),
    ]


def test_a_trial_that_a_search_draws_again_counts_once(tmp_path: Path) -> None:
    changes = {"train.rate": 0.1, "seed": 0}
    stopped = {**failed("behind"), "status": "pruned"}
    trials = [
        (changes, stopped),
        (changes, done(2.0)),
        (changes, done(2.0)),
        ({**changes, "seed": 1}, done(4)),
    ]
    best = findings(made(tmp_path / "made", trials)).best
    assert (best.values, best.mean, best.pruned) == ([2.0, 4.0], 3.0, 0)
    assert best.sd == pytest.approx(statistics.stdev([2.0, 4.0]))


def test_square_brackets_are_shown_as_they_are(tmp_path: Path, capsys) -> None:
    values = ("[red]x[/]", "[/y]", "[bold]")
    trials = [({"model.note": value}, done(i)) for i, value in enumerate(values)]
    folder = made(tmp_path / "a[bold]z", trials).folder
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert all(f"│ {value} " in shown for value in values)
    assert shown.startswith("a[bold]z: 3 done;")


def test_fields_of_tuples_and_dollars_in_names_are_reported(tmp_path: Path) -> None:
    """CSV has no lists, and matplotlib takes what stands between dollars for a formula."""
    names, sizes = (r"$\frac$", "plain"), ([1, 2], [3, 4])
    trials = [({"model.note": n, "model.sizes": s}, done(len(n) + s[0])) for n in names for s in sizes]
    write_report(made(tmp_path / "made", trials))
    table = polars.read_csv(tmp_path / "made" / "report" / "table.csv")
    assert set(table["model.sizes"]) == {"[1, 2]", "[3, 4]"}
    assert set(table["model.note"]) == set(names)
