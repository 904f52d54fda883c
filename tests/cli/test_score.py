"""`attnjax predict` as a filter of lines, `score` and `evaluate`: with runs whose answers mean nothing."""

import gzip
import json
import shutil

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from attnjax.cli import main


@pytest.fixture
def called(runs, capsys):
    def run(command: str, *arguments: str, code: int = 0) -> tuple[list[str], list[str]]:
        name = [] if "--runs" in arguments else ["translation", "--runs", str(runs)]
        assert main([command, *name[:1], *arguments, *name[1:]]) == code
        out, err = capsys.readouterr()
        return out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def lines(tmp_path):
    def write(name: str, *texts: str) -> str:
        text = "".join(f"{line}\n" for line in texts).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return str(tmp_path / name)

    return write


def test_each_line_of_a_file_has_one_answer_and_a_line_too_long_that_of_its_beginning(called, lines):
    file = lines("a.gz", "12", "", "1" * 300, "7")
    out, err = called("predict", "--src", file, "--beam", "3", "--replace-unk", "--scores", "--alignments")
    assert len(out) == 4
    assert out[1] == ""
    cut, _ = called("predict", "1" * 256, "--beam", "3", "--replace-unk", "--scores", "--alignments")
    assert out[2] == cut[0]
    (note,) = err
    assert note.startswith(f"attnjax: warning: {file}:3: the text '1111")
    assert note.endswith(
        "has 300 tokens, data.max_source_length is 256: its first 256 characters are answered"
    )
    for line in (out[0], out[3]):
        score, text, links = line.split("\t")
        assert float(score) < 0
        assert links == ("0-0" if text.strip() else "")


def test_what_a_search_found_has_the_score_that_forced_decoding_gives(called, lines):
    sources = ["12", "7", "3"]
    # An unknown token has no text that could be read again.
    asked = *sources, "--beams", "2", "--ban-unknown", "--json", "--scores"
    records = [json.loads(line) for line in called("predict", *asked)[0]]
    files = lines("src", *sources), lines("tgt", *(record["translation"] for record in records))
    out, err = called("score", "--src", files[0], "--tgt", files[1])
    np.testing.assert_allclose([float(x) for x in out], [r["log_prob"] for r in records], atol=2e-4)
    total = sum(r["log_prob"] for r in records)
    assert float(err[0].split("probability ")[1].split(",")[0]) == pytest.approx(total, abs=2e-4)
    found = [json.loads(line) for line in called("score", "--src", files[0], "--tgt", files[1], "--json")[0]]
    for record, text in zip(found, sources, strict=True):
        assert record["input"] == text
        assert len(record["alignment"]) == len(record["target_pieces"])


def test_pairs_that_cannot_be_scored_are_named_and_the_others_are_scored(called, lines):
    source, target = lines("s", "12", "", "1" * 300, "7", "5"), lines("t", "3", "4", "5", "6" * 9, "6")
    out, err = called("score", "--src", source, "--tgt", target, "--alignments")
    assert [bool(line) for line in out] == [True, False, False, False, True]
    assert f"{source}:2: the source text is empty: it has no score" in err[0]
    assert f"{source}:3: the source text has 300 tokens, the run takes 256" in err[1]
    assert f"{source}:4: the target text has 11 tokens, the run takes 8" in err[2]
    assert "2 pairs, 4 tokens" in err[3]


def test_gold_links_give_the_alignment_error_rate(called, lines):
    source, target = lines("s", "1", "2"), lines("t", "2", "3")
    _, err = called("score", "--src", source, "--tgt", target, "--gold", lines("g", "0-0", "0?0"))
    assert err[-1] == "attnjax: alignment error rate 0.0000 on 2 pairs"
    _, err = called(
        "score", "--src", source, "--tgt", target, "--gold", lines("g", "1-1", "1-2"), "--gold-first", "1"
    )
    assert err[-1].startswith("attnjax: alignment error rate 0.5000")
    _, (error,) = called(
        "score", "--src", source, "--tgt", target, "--gold", lines("g", "0-0", "0:0"), code=2
    )
    assert "g:2: '0:0', expected links such as 0-1" in error
    _, (error,) = called("score", "--src", source, "--tgt", lines("t", "2"), code=2)
    assert "has 1 lines" in error
    _, (error,) = called("score", "--src", source, "--tgt", lines("t"), code=2)
    assert "the file is empty" in error


def test_two_runs_are_compared_by_sacrebleu(called, lines, runs, tmp_path):
    (run,) = runs.glob("translation-*")
    other = tmp_path / "translation-again"
    shutil.copytree(run, other)
    source, reference = lines("s", "12", "", "7", "3"), lines("r", "13", "", "8", "4")
    asked = (
        "--src",
        source,
        "--ref",
        reference,
        "--metrics",
        "chrf",
        "--resamples",
        "20",
        "--against",
        str(other),
    )
    out, _ = called("evaluate", *asked)
    outputs = called("predict", "--src", source)[0]
    expected = CHRF().corpus_score(outputs, [["13", "", "8", "4"]]).score
    assert out[0] == "s"
    assert f"{run.name}  chrF2 {expected:.2f}  (" in out[1]
    assert "translation-again" in out[2]
    assert "  p 1.0000" in out[2]
    assert out[3].startswith("  chrF2: nrefs:1|bs:20|seed:12345|case:mixed")
    found = json.loads(called("evaluate", *asked, "--json")[0][0])
    assert found["s"]["translation-again"][0]["p_value"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--src", "s"), "--src and --ref come together"),
        (("--resamples", "0"), "--resamples is 0: expected 1 or more"),
        (("--metrics", "comet"), "argument --metrics: invalid choice: 'comet'"),
        (("--against", "translation"), "comes twice: expected different runs"),
        ((), "corpus.tsv"),
    ],
)
def test_what_cannot_be_measured_is_one_line(called, arguments, message):
    _, (error,) = called("evaluate", *arguments, code=2)
    assert message in error


def test_a_run_without_text_scores_nothing_and_has_no_links(runs, lines, capsys):
    file = lines("s", "1 2")
    where = "--runs", str(runs)
    for arguments, message in {
        ("score", "recall", "--src", file, "--tgt", file): "scores no answers",
        ("evaluate", "recall"): "has no references",
        ("predict", "recall", "1 2", "--alignments"): "alignments: Answers have no links between words",
    }.items():
        assert main([*arguments, *where]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert message in error
