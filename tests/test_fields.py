"""The table of scripts/field_table.py: its rows name what there is, and it says what the runs found."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from attnjax.config import InputError
from attnjax.data.fetch.catalogue import CORPORA
from attnjax.experiment import registry
from attnjax.runs.start import absolute_paths
from attnjax.runs.store import run_for, write_json

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script() -> ModuleType:
    """Returns scripts/field_table.py, which imports its neighbours."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        spec = importlib.util.spec_from_file_location("field_table_script", SCRIPTS / "field_table.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    registry.discover()
    return module


fields = script()


def finish(own: Any, quick: bool, seed: int, runs: Path, metrics: dict) -> None:
    """Leaves a finished run of a field, as training would."""
    experiment, config = fields.configured(own, quick, seed)
    run = run_for(experiment, absolute_paths(config), runs)
    run.folder.mkdir(parents=True)
    run.write_config(experiment, absolute_paths(config))
    write_json(run.result_file, {"step": 1, "metrics": metrics})


def row(name: str) -> Any:
    return next(own for own in fields.FIELDS if own.experiment == name)


def driving(ours: float) -> dict:
    column = "minADE m"
    simple = {"constant velocity: moving": {column: 2.0}, "constant acceleration: moving": {column: 1.5}}
    return {"model: moving": {column: ours}, **simple}


def test_a_line_has_mean_and_spread_over_seeds_and_the_best_baseline() -> None:
    cells = fields.line(row("driving"), [driving(0.5), driving(0.7)], True)
    assert cells[1:5] == ("minADE m", "0.60 ± 0.14", "1.5, constant acceleration", "–")
    assert cells[5] == "`attnjax run driving --train.steps 300 --train.checkpoint_every 300`"
    best = {"as trained": 97.0, "TF-IDF, logistic regression": 75.0, "the best possible": 100.0}
    metrics = {name: {"right %": value} for name, value in best.items()}
    assert fields.line(row("negation"), [metrics], False)[2:] == (
        *("97", "75, TF-IDF, logistic regression", "100"),
        "`attnjax run negation`",
    )


def test_a_table_without_the_row_or_the_column_is_an_error_that_names_what_it_has() -> None:
    own = row("driving")
    with pytest.raises(InputError, match="no row 'model: moving': it has standing"):
        fields.scores_of(own, [{"standing": {"minADE m": 1.0}}])
    with pytest.raises(InputError, match=r"no column 'minADE m': it has FDE"):
        fields.scores_of(own, [driving(1.0) | {"model: moving": {"FDE": 1.0}}])
    with pytest.raises(InputError, match="no row of constant velocity"):
        fields.scores_of(own, [{"model: moving": {"minADE m": 1.0}}])


def test_finished_runs_are_read_and_one_that_fails_leaves_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [row(name) for name in ("driving", "negation", "recognition")]
    finish(chosen[0], True, 0, tmp_path, driving(0.5))
    asked = []

    def run(own, quick, seed, runs):
        asked.append((own.experiment, seed))
        if own.experiment == "negation":
            raise RuntimeError("no memory")
        shares = {"model": {"right %": 97.0 + seed}, "SVC of 3 images": {"right %": 99.0}}
        finish(own, quick, seed, runs, shares if own is chosen[2] else driving(0.7))

    tables, failed = fields.tables_of(chosen, (0, 1), True, tmp_path, run)
    assert asked == [("negation", 0), ("recognition", 0), ("driving", 1), ("recognition", 1)]
    assert failed == {"negation": "no memory"}
    assert [len(tables[own.experiment]) for own in chosen] == [2, 0, 2]
    assert "4 of 6: driving, seed 1 …" in capsys.readouterr().err
    # The second time all is there but what failed.
    asked.clear()
    fields.tables_of(chosen, (0, 1), True, tmp_path, run)
    assert asked == [("negation", 0)]


def test_a_finished_table_that_has_not_the_row_is_a_failure(tmp_path: Path) -> None:
    own = row("driving")
    finish(own, True, 0, tmp_path, {"standing": {"minADE m": 1.0}})
    tables, failed = fields.tables_of([own], (0,), True, tmp_path, None)
    assert tables == {"driving": []}
    assert failed["driving"].startswith("driving: no row 'model: moving'")


def test_a_run_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    own = replace(row("driving"), quick={"train.steps": -1})
    with pytest.raises(RuntimeError, match=r"steps is -1.*\(exit code 2, .*driving-0.log\)"):
        fields.train(own, True, 0, tmp_path)


def test_a_script_scores_in_the_place_of_an_experiment(tmp_path: Path) -> None:
    written = "import json, sys; seed, out = sys.argv[4], sys.argv[6]; "
    written += "open(out, 'w').write(json.dumps({'metrics': {'Whisper': {'WER %': float(seed)}}}))"
    (tmp_path / "scores.py").write_text(written)
    own = replace(row("speech"), script=str(tmp_path / "scores.py"))
    tables, failed = fields.tables_of([own], (4, 5), True, tmp_path / "runs")
    assert failed == {"speech": "speech: no row of the commonest transcript, no words at all: it has Whisper"}
    (tmp_path / "scores.py").write_text(written.replace("}}}", "}, 'no words at all': {'WER %': 100}}}"))
    tables, failed = fields.tables_of([own], (5, 6), True, tmp_path / "runs")
    assert failed == {}
    assert fields.line(row("speech"), tables["speech"], True)[1:] == (
        *("WER %", "5.5 ± 0.7", "100, no words at all", "–", "`python scripts/speech.py --clips 16`"),
    )
    assert fields.finished(own, False, 5, tmp_path / "runs") is None  # That of all clips is another file.


def test_the_command_prints_the_table_and_fails_where_a_field_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(row("driving"), True, 0, tmp_path, driving(0.5))
    words = ["--quick", "--seeds", "1", "--runs", str(tmp_path)]
    assert fields.main(["driving", *words]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "| task | metric | ours ± sd | baseline | best possible | command |"
    assert len(table) == 3

    def no_memory(*_) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(fields, "train", no_memory)
    assert fields.main(["driving", "patients", *words]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 4
    assert "patients failed: no memory" in printed.err
    assert fields.main(["patients", "--no-training", *words]) == 0


def test_each_row_names_an_experiment_and_changes_that_it_has() -> None:
    names = [own.experiment for own in fields.FIELDS]
    assert len(set(names)) == len(names)
    for own in fields.FIELDS:
        for quick in (True, False) if own.script is None else ():
            fields.configured(own, quick, 0)
        assert own.script is None or (SCRIPTS.parent / own.script).is_file()
        assert set(own.corpora) <= CORPORA.keys()
        assert all(part.strip() for part in own.metric.rpartition("/"))
        assert own.baselines


@pytest.mark.slow
@pytest.mark.parametrize("own", fields.FIELDS, ids=lambda own: own.experiment)
def test_the_final_table_of_each_experiment_has_the_rows_that_are_compared(own: Any, tmp_path: Path) -> None:
    small = {"train.steps": 2, "train.checkpoint_every": 2, "train.warmup_steps": 1}
    less = {"baseline_steps": 1, "data.ngram_tokens": 1000, "data.evaluation_tokens": 512}
    quick = {name: less.get(name, value) for name, value in own.quick.items()} | small
    if own.script is not None:
        pytest.importorskip("jiwer", reason="jiwer is not installed (extra: speech)")
        quick = {"clips": 2}
    own = replace(own, quick=quick)
    if own.script is None and not all(
        path.exists() for path in fields.read_by(fields.configured(own, True, 0)[1])
    ):
        pytest.skip(f"`attnjax data fetch {' '.join(own.corpora)}` has not been run")
    if own.experiment == "recognition":
        pytest.importorskip("sklearn")
    fields.train(own, True, 0, tmp_path)
    found = fields.scores_of(own, [fields.finished(own, True, 0, tmp_path)])
    assert found.baseline[0]
