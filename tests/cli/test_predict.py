"""`attnjax predict` and `translate` with models as small as they get: their answers mean nothing."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import attnjax.runs
import attnjax.sweeps
from attnjax.cli import main, predict
from attnjax.config import InputError
from attnjax.runs import load
from attnjax.runs.store import resolve


@pytest.fixture
def translate(runs, capsys):
    def run(*arguments: str) -> list[str]:
        assert main(["translate", "translation", *arguments, "--runs", str(runs)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def standard_input(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content))


def test_texts_from_the_command_line_and_from_standard_input_translate_alike(translate, monkeypatch):
    given = translate("12", "7")
    assert len(given) == 2
    monkeypatch.setattr("sys.stdin", standard_input(b"12\r\n7"))
    assert translate() == given


def test_options_may_stand_before_and_between_the_texts(runs, translate, capsys):
    expected = translate("12", "7")
    assert main(["translate", "translation", "12", "--runs", str(runs), "7"]) == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert main(["translate", "translation", "--runs", str(runs), "12", "--aligment"]) == 2
    assert "unexpected argument '--aligment'" in capsys.readouterr().err


def test_empty_input_lines_stay_empty_output_lines(translate, monkeypatch):
    first, second = translate("12", "7")
    monkeypatch.setattr("sys.stdin", standard_input(b"\n12\n\n7\n"))
    assert translate() == ["", first, "", second]


def test_alignment_draws_the_source_above_a_line_for_each_piece(translate):
    text, heading, *rows = translate("12", "--alignment")
    assert heading.endswith(" 12")
    names, cells = zip(*(row.split("│")[:2] for row in rows), strict=True)
    assert "".join(name.strip().replace("<unk>", "") for name in names) == text
    assert {len(row) for row in cells} == {len("12")}


def test_the_run_kept_its_tokenizers_and_picture_of_the_result(runs):
    (run,) = runs.glob("translation-*")
    assert (run / "result.json").exists()
    assert list(run.glob("*token*"))


def test_a_line_of_standard_input_that_is_not_utf_8_is_named(runs, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", standard_input("12\nMärz\n".encode("latin-1")))
    assert main(["translate", "translation", "--runs", str(runs)]) == 2
    out, err = capsys.readouterr()
    assert out.count("\n") == 1  # The first line's answer does not wait for the second.
    assert err.startswith("attnjax: error: standard input:2: not UTF-8 (byte 0xe4 at position 2 of the line")
    assert err.count("\n") == 1


def test_the_weights_of_the_best_validation_can_be_asked_for(runs, translate, tmp_path, capsys):
    assert len(translate("12", "--weights", "best")) == 1
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    for checkpoint in tmp_path.glob("*/checkpoints/*"):
        damage(checkpoint)
    assert main(["translate", "translation", "12", "--weights", "best", "--runs", str(tmp_path)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_damaged_newest_checkpoint_is_passed_over_in_one_line_and_stays(runs, tmp_path, capfd):
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    (checkpoints,) = tmp_path.glob("translation-*/checkpoints")
    damage(checkpoints / "4")
    (checkpoints / "6.orbax-checkpoint-tmp-0").mkdir()  # What a save that was cut off leaves.
    before = sorted(tmp_path.rglob("*"))
    assert main(["translate", "translation", "12", "--runs", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert out.count("\n") == 1
    assert err.startswith(f"attnjax: warning: checkpoint {checkpoints}/4 is damaged: its arrays")
    assert err.count("\n") == 1, err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def predicted(runs, capsys):
    def run(name: str, *arguments: str) -> list[str]:
        assert main(["predict", name, *arguments, "--runs", str(runs)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def refused(runs, capsys):
    def run(*arguments: str) -> str:
        assert main(["predict", *arguments, "--runs", str(runs)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


def test_a_file_of_more_lines_than_are_computed_together_keeps_their_order(translate, predicted, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("".join(f"{number}\n" for number in (*range(70), "", 7)))
    found = [json.loads(line) for line in predicted("translation", "--file", str(file), "--json")]
    assert [record["input"] for record in found] == [*map(str, range(70)), "", "7"]
    assert found[70] == {"input": ""}
    alone = {text: translate(text)[0] for text in ("7", "69")}
    assert [found[i]["translation"] for i in (7, 69, 71)] == [alone["7"], alone["69"], alone["7"]]


def test_details_of_a_translation_are_its_pieces_and_their_alignment(predicted, translate):
    (line,) = predicted("translation", "12", "--json", "--details")
    record = json.loads(line)
    assert list(record) == [
        *("input", "translation", "source_pieces", "target_pieces", "alignment", "weights_of")
    ]
    assert record["source_pieces"] == ["1", "2"]
    assert len(record["alignment"]) == len(record["target_pieces"])
    assert predicted("translation", "12", "--details") == translate("12", "--alignment")


def test_ids_and_words_of_a_sequence_get_the_answer_at_its_end(predicted):
    (word,) = predicted("recall", "1 7 2 8 1")
    (record,) = map(json.loads, predicted("recall", "k1,v7,k2,v8,k1", "--json", "--details"))
    assert record["word"] == word
    assert record["tokens"] == [1, 7, 2, 8, 1]
    assert record["answers"][-1] == record["answer"]
    text, tokens, answers = predicted("recall", "1 7 2 8 1", "--details")
    assert (text, tokens.split()[0], answers.split()[-1]) == (word, "k1", word)


def test_what_cannot_be_answered_is_one_line(refused, runs, tmp_path):
    assert "error: search.beams is 0" in refused("translation", "12", "--beams", "0")
    assert "has no use for beams" in refused("recall", "1 2", "--beams", "2")
    assert "error: mesh data=99 needs 99 devices" in refused("recall", "1 2", "--mesh", "data=99")
    file = tmp_path / "ids.txt"
    file.write_text("1 7\n\n1 99\n")
    assert f"{file}:3: '99' is no token: expected ids from 0 to 11" in refused("recall", "--file", str(file))
    assert "'x' is no token" in refused("recall", "1 x")
    assert "--file comes with texts" in refused("recall", "1", "--file", str(file))
    assert "it cannot be read (No such file or directory)" in refused("recall", "--file", "nothing.txt")
    assert "it cannot be read (Is a directory)" in refused("recall", "--file", str(tmp_path))
    assert "input 2: not UTF-8 (byte 0xe9" in refused("translation", "12", os.fsdecode(b"caf\xe9"))
    assert "search.prefix is 'x1': it has tokens that" in refused("translation", "12", "--prefix", "x1")
    packed = gzip.compress(b"1 7\n" * 1000)
    for name, content in (("cut", packed[:-9]), ("none", b"1 7\n"), ("broken", packed[:20] + b"?" * 20)):
        (tmp_path / f"{name}.gz").write_bytes(content)
        assert f"{name}.gz: cannot be read" in refused("recall", "--file", str(tmp_path / f"{name}.gz"))

    with resolve("recall", runs).lock():
        assert "another process is working on" in refused("recall", "1 7 1")


def test_progress_is_told_where_answers_go_elsewhere_than_to_a_terminal(runs, capsys, monkeypatch):
    monkeypatch.setattr(predict, "BETWEEN_NOTES", -1.0)
    assert main(["predict", "recall", "1 7 1", "2", "--runs", str(runs)]) == 0
    assert capsys.readouterr().err.splitlines() == ["attnjax: 1 of 2 inputs"]


def damage(checkpoint: Path) -> None:
    """Cuts the files that hold the arrays."""
    for file in checkpoint.rglob("d/*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_notebook_sees_the_same_run(runs) -> None:
    (folder,) = runs.glob("translation-*")
    run = load(folder)
    assert run.config.model.dim == 8
    history = run.history
    assert history.filter(history["split"] == "train")["step"].to_list() == [2, 4]
    assert history["seconds"].drop_nulls().len() >= 2
    assert set(run.result) == {"validation", "test"}
    (answer,), (weights,) = run.predict(["12"]), run.attention(["12"])
    assert answer.text == run.predict(["12", "3"])[0].text
    assert weights.columns == ["piece", "0:1", "1:2"]
    np.testing.assert_allclose(weights.drop("piece").sum_horizontal(), 1, rtol=1e-5)
    assert run.model().config.dim == 8
    assert "chrF" in run._repr_html_()


def test_a_run_and_a_sweep_begin_in_a_notebook(tmp_path) -> None:
    changes = {"model.dim": 8, "model.layers": 1, "data.pairs": 2, "data.length": 8, "data.vocab": 12}
    changes |= {"data.evaluation_examples": 4, "train.steps": 2, "train.batch_size": 4, "train.log_every": 2}
    told: list[str] = []
    grid = {"train.learning_rate": [0.1, 0.01], "train.dropout": [0.0, 0.1]}
    found = attnjax.sweeps.sweep(
        "recall", grid, changes=changes, folder=tmp_path, devices=1, notify=told.append
    )
    assert found.table.columns[:3] == ["train.learning_rate", "train.dropout", "mean"]
    assert found.trials["status"].to_list() == ["done"] * 4
    assert found.best.config.model.dim == 8
    assert len(found.figure("train.learning_rate", "train.dropout").axes[0].lines) >= 2
    assert "recall" in found._repr_html_()
    assert attnjax.sweeps.load(found.folder).table.equals(found.table)
    with pytest.raises(InputError, match=r"does not vary 'train\.learning_rat'"):
        found.figure("train.learning_rat")
    with pytest.raises(InputError, match=r"recall: unknown field 'model\.dimm'"):
        attnjax.runs.run("recall", {"model.dimm": 8}, folder=tmp_path)
    with pytest.raises(InputError, match="expected a name, or a class under @experiment"):
        attnjax.runs.run(dict, folder=tmp_path)


def test_a_run_that_translates_generates(attnjax, runs: Path) -> None:
    run = next(path for path in sorted(runs.iterdir()) if path.name.startswith("translation"))
    texts = ("3", "17")
    _, translated, _ = attnjax("translate", str(run), *texts)
    code, generated, err = attnjax("generate", str(run), *texts, "--max-tokens", "3")
    assert (code, err) == (0, "")
    # A translation ends where the data's longest does.
    for written, line in zip(generated.splitlines(), translated.splitlines(), strict=True):
        assert written.startswith(line)
    other = next(path for path in sorted(runs.iterdir()) if path.name.startswith("recall"))
    assert "writes no text" in attnjax("generate", str(other), "3")[2]


@pytest.mark.slow
def test_runs_explain_what_they_attend_to(attnjax, runs: Path) -> None:
    translation, recall = (
        next(path for path in sorted(runs.iterdir()) if path.name.startswith(name))
        for name in ("translation", "recall")
    )
    code, out, err = attnjax("explain", str(translation), "17", "12", "--methods", "none")
    assert (code, err) == (0, "")
    assert "2 inputs, 3 layers with 2 heads" in out
    page = Path("explanation.html").read_text(encoding="utf-8")
    answer = attnjax("translate", str(translation), "17")[1].strip()
    written = json.loads(page.partition('id="contents">')[2].partition("</script>")[0])["explanations"][0][
        "written"
    ]
    assert "".join(written).replace("<eos>", "").replace("▁", " ").strip() == answer
    code, out, err = attnjax("explain", str(recall), "1 2 3", "--out", "recall.html", "--methods", "none")
    assert (code, err) == (0, "")
    assert '"written":[]' in Path("recall.html").read_text(encoding="utf-8")
    assert "'zzz' is no token" in attnjax("explain", str(recall), "zzz")[2]


def test_with_n_best_each_input_has_as_many_lines(translate, monkeypatch):
    monkeypatch.setattr("sys.stdin", standard_input(b"12\n\n7\n"))
    lines = translate("--beams", "3", "--n-best", "3", "--max-length", "1")
    assert len(lines) == 9
    assert lines[3:6] == [""] * 3


@pytest.mark.slow
def test_a_search_by_options_prints_n_best_lines_with_their_scores(runs, translate, capsys):
    lines = translate("12", "7", "--beams", "3", "--n-best", "2", "--scores", "--length-penalty", "gnmt")
    assert len(lines) == 4
    assert all(float(line.split("\t")[0]) < 0 for line in lines)
    assert len({line.split("\t")[1] for line in lines[:2]}) == 2
    (record,) = map(json.loads, translate("12", "--beams", "3", "--n-best", "2", "--json"))
    assert record["translation"] == record["n_best"][0]["translation"]
    assert main(["translate", "translation", "12", "--beams", "0", "--runs", str(runs)]) == 2
    assert "search.beams is 0" in capsys.readouterr().err
    assert main(["predict", "recall", "1 2", "--beams", "2", "--runs", str(runs)]) == 2
    assert "has no use for beams" in capsys.readouterr().err


ON_MESHES = """
import sys
from attnjax.cli import main
for line in sys.argv[2:]:
    print(main(["predict", *line.split(), "--runs", sys.argv[1]]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "placed"),
    [
        ("translation 12 7", ("--mesh model=2 --rules tensor",)),
        ("recall k1,v7,k2,v8,k1", ("--mesh context=2", "--devices 2")),
    ],
)
def test_a_mesh_answers_as_one_device_does(runs, capsys, given, placed):
    assert main(["predict", *given.split(), "--runs", str(runs)]) == 0
    answers = capsys.readouterr().out.splitlines()
    commands = [f"{given} {where}" for where in (*placed, "--mesh data=3")]
    done = subprocess.run(
        [sys.executable, "-c", ON_MESHES, str(runs), *commands], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [*answers, "0"] * len(placed) + ["2"], done.stderr
    assert "error: mesh data=3 needs 3 devices: jax has 2 cpu device(s); data must be smaller" in done.stderr


def test_constraints_stand_in_the_answers_and_are_named_where_they_cannot(runs, predicted, refused, tmp_path):
    source, phrases = tmp_path / "lines.txt", tmp_path / "phrases.txt"
    source.write_text("12\n7\n\n3\n")
    phrases.write_text("7\n\n\n1\t3\n")
    given = ["translation", "--src", str(source), "--beam", "2", "--constraints", str(phrases)]
    first, _, empty, last = predicted(*given)
    assert "7" in first
    assert empty == ""
    assert {"1", "3"} <= set(last)
    phrases.write_text("7\n\n\n123\n")
    assert f"{phrases}:4: the constraints side by side make 3 tokens, a translation" in refused(*given)
    phrases.write_text("7\n\n1\n\n")
    assert f"{phrases}:3: constraints of an empty text" in refused(*given)
    phrases.write_text("7\n")
    assert "it has 1 lines, expected one for each input, 4" in refused(*given)
    assert "takes no constraints" in refused("recall", "1 7", "--constraints", str(phrases))


@pytest.mark.slow
def test_constraints_in_a_notebook_are_those_of_the_command_line(runs, predicted, tmp_path):
    source, phrases = tmp_path / "lines.txt", tmp_path / "phrases.txt"
    source.write_text("12\n7\n3\n")
    phrases.write_text("7\n\n1\t3\n")
    given = ["translation", "--src", str(source), "--beam", "2", "--constraints", str(phrases)]
    first, second, last = predicted(*given)
    assert predicted("translation", "7", "--beams", "2") == [second]
    (name,) = (path.name for path in runs.glob("translation-*"))
    asked = {"search": {"beams": 2}, "constraints": [["7"], [], ["1", "3"]]}
    answers = load(runs / name).predict(["12", "7", "3"], **asked)
    assert [one.text for one in answers] == [first, second, last]
    with pytest.raises(InputError, match=r"constraints has 1 entries: expected one for each input, 2"):
        load(runs / name).predict(["12", "7"], constraints=[["7"]])
