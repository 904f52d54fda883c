"""Texts with summaries: docstrings of whole modules, files of one's own, one line for each bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.library_bytes import part_of
from attnjax.data.text.docstrings import docstring_parts, summary_of
from attnjax.data.text.summaries import SummaryCorpus, summary_corpus
from attnjax.data.text.summaries_config import SummaryData
from attnjax.data.text.tokenizer import Tokenizer
from attnjax.data.text.words import beginning, sentences, spaced
from tests.tasks.summaries.modules import write_modules


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_modules(tmp_path_factory.mktemp("modules"))


def texts(corpus: SummaryCorpus, part: str) -> list[tuple[str, str, str]]:
    return [(example.source, example.target, example.group) for example in corpus.parts[part]]


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("Return all names.\n\nThey are sorted.\n", ("They are sorted.", "Return all names.")),
        ("Return all names.\nThey are sorted.", ("They are sorted.", "Return all names.")),
        ("Return all names\nof the list.", "the first line goes on"),
        ("Return all names.", "there is a first line alone"),
        ("Return all names.\n\n>>> names()\n[]", "the rest is examples"),
        ("Return all names.\n\n>>> names()\n[]\n\nSorted.", ("Sorted.", "Return all names.")),
        ("Names.\n\nThey are sorted.", "the first line has fewer than 3 words"),
    ],
)
def test_a_docstring_has_a_first_line_and_more_or_a_reason(docstring: str, found: Any) -> None:
    assert summary_of(docstring) == found


def test_whole_modules_are_held_out_packages_with_all_their_files(modules: Path) -> None:
    parts, counts = docstring_parts(modules)
    groups = {part: {example.group for example in own} for part, own in parts.items()}
    assert groups == {"train": {"shop", "lamp"}, "validation": {"stone"}, "test": {"clock"}}
    assert {e.place.split("/")[1].split(":")[0] for e in parts["test"]} == {"hands.py", "face.py"}
    # The files of the package would be in other parts by themselves.
    assert {part_of(f"clock/{name}.py").name for name in ("hands", "face")} != {"TEST"}
    sources = [example.source for own in parts.values() for example in own]
    assert len(sources) == len(set(sources))
    assert counts == {
        "docstrings": len(sources) + 3,
        "there is a first line alone": 1,
        "the first line goes on": 1,
        "the text was there before": 1,
    }


def test_the_parts_of_the_standard_library_share_no_module_and_no_text() -> None:
    parts, counts = docstring_parts()
    groups = [{example.group for example in own} for own in parts.values()]
    sources = [{example.source for example in own} for own in parts.values()]
    for found in (groups, sources):
        assert sum(map(len, found)) == len(set.union(*found))
    assert counts["docstrings"] > 4000
    assert min(map(len, parts.values())) > 100


def test_folders_without_a_part_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text('"""Sell all things.\n\nOpen on Monday."""\n')
    with pytest.raises(InputError, match=r"data.modules is .*: no module of the validation part"):
        docstring_parts(tmp_path)


def test_words_are_apart_and_a_text_is_cut_between_them() -> None:
    assert spaced("Don't call os.path(x)!") == " don't call os.path ( x ) !"
    assert spaced(spaced("Read-only, e.g. this.")) == spaced("Read-only, e.g. this.")
    assert sentences(spaced("One. Two, i.e. three? Four")) == [" one .", " two , i.e . three ?", " four"]
    tokenizer = Tokenizer.train([" abc de f"], "characters")
    assert beginning(" abc de f", tokenizer, 7) == " abc de"
    assert beginning(" abc de f", tokenizer, 6) == " abc"
    assert beginning(" abc de f", tokenizer, 3) == ""


def test_long_texts_are_cut_and_counted_and_long_summaries_left_out(modules: Path) -> None:
    data = SummaryData(modules=modules, tokenizer="characters", max_source_length=30, max_target_length=40)
    corpus = summary_corpus(data)
    assert all(len(e.source) <= 30 for own in corpus.parts.values() for e in own)
    assert corpus.cut == corpus.record["cut"] > 0
    assert len(corpus.left_out) == 1  # The summary of shop.open_at has more than 38 letters.
    assert "shop.py:" in corpus.left_out[0]
    assert "the target text has" in corpus.left_out[0]
    notes = "\n".join(corpus.notes)
    assert "held out as a whole: 2 in train, 1 in validation, 1 in test" in notes
    assert "1: the first line goes on" in notes


ROWS = [
    {"text": f"Text number {i} says this.", "summary": f"Say number {i}.", "source": f"s{i % 8}"}
    for i in range(40)
]


def own(folder: Path, name: str = "own.jsonl", rows: Any = None) -> Path:
    file = folder / name
    lines = [line if isinstance(line, str) else json.dumps(line) for line in (ROWS if rows is None else rows)]
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_files_of_ones_own_hold_out_texts_or_groups(tmp_path: Path) -> None:
    data = SummaryData(train=own(tmp_path), tokenizer="characters", holdout=0.25)
    by_text = summary_corpus(data)
    assert by_text.sizes == {"train": 22, "validation": 10, "test": 8}  # A quarter, and of the rest.
    assert texts(summary_corpus(data), "test") == texts(by_text, "test")
    grouped = summary_corpus(replace(data, group_column="source"))
    groups = [{group for _, _, group in texts(grouped, part)} for part in grouped.parts]
    assert [len(found) for found in groups] == [4, 2, 2]
    assert len(set.union(*groups)) == 8
    lines = [f"{row['text']}\t{row['summary']}" for row in ROWS]
    tsv = summary_corpus(replace(data, train=own(tmp_path, "own.tsv", lines)))
    assert texts(tsv, "test") == texts(by_text, "test")


def test_a_text_of_two_groups_is_not_trained_on_where_one_is_held_out(tmp_path: Path) -> None:
    rows = [{**row, "text": "The same text."} if row["source"] in ("s0", "s1") else row for row in ROWS]
    for seed in range(4):
        data = SummaryData(train=own(tmp_path, rows=rows), group_column="source", holdout=0.25, seed=seed)
        parts = summary_corpus(replace(data, tokenizer="characters")).parts
        held_out = {e.source for part in ("validation", "test") for e in parts[part]}
        assert not held_out & {e.source for e in parts["train"]}


@pytest.mark.parametrize(
    ("name", "rows", "changes", "message"),
    [
        ("a.jsonl", [*ROWS, {"text": "x"}], {}, "a.jsonl:41: expected an object with 'text' and 'summary'"),
        ("a.jsonl", [*ROWS, {"text": "x", "summary": " "}], {}, "1 of 41 lines cannot be used: "),
        ("a.jsonl", [*ROWS, {"text": "x", "summary": " "}], {}, "a.jsonl:41: the summary is empty"),
        ("a.jsonl", [*ROWS, {"text": "x", "summary": "— —", "s": 1}], {}, "has no word"),
        ("a.jsonl", [*ROWS, "{"], {}, "a.jsonl:41: no JSON"),
        ("a.jsonl", [*ROWS, {"text": 1, "summary": "x"}], {}, "a.jsonl:41: expected a text in 'text'"),
        (
            "a.jsonl",
            ROWS,
            {"summary_column": "title"},
            "a.jsonl:1: expected an object with 'text' and 'title'",
        ),
        ("a.jsonl", [*ROWS, {**ROWS[0], "summary": "x" * 50}], {}, "a.jsonl:41: the target text has"),
        ("a.tsv", ["a\tb", "c"], {}, "a.tsv:2: 1 tab-separated column(s), expected 2 (text<TAB>summary)"),
        ("a.tsv", ["a\tb"], {"group_column": "source"}, "data.group_column needs CSV, Parquet or JSON"),
        (
            "a.csv",
            ["text,title", "a,b"],
            {},
            "no column 'summary', which data.summary_column names; the near",
        ),
        ("a.jsonl", ROWS[:2], {}, "nothing is left to train on"),
        ("gone.jsonl", None, {}, "gone.jsonl: cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, name: str, rows: Any, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / name if rows is None else own(tmp_path, name, rows)
    with pytest.raises(InputError) as caught:
        summary_corpus(SummaryData(train=file, tokenizer="characters", **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_rows_are_left_out_and_counted_where_one_says_so(tmp_path: Path) -> None:
    file = own(tmp_path, rows=[*ROWS, {"text": "x", "summary": ""}, "{"])
    corpus = summary_corpus(SummaryData(train=file, tokenizer="characters", skip_malformed=True))
    assert sum(corpus.sizes.values()) == 40
    assert len(corpus.left_out) == 2
    assert any("2 of 42 lines cannot be used" in note for note in corpus.notes)


def test_a_group_in_training_and_in_a_given_test_is_named_with_its_row(tmp_path: Path) -> None:
    test = own(tmp_path, "test.jsonl", [{**ROWS[0], "source": "new"}, {**ROWS[1], "source": "s3"}])
    data = SummaryData(train=own(tmp_path), test=test, group_column="source", tokenizer="characters")
    with pytest.raises(InputError, match=r"test.jsonl:2: the group 's3' of data.test is in data.train too"):
        summary_corpus(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"holdout": 0.5}, "data.holdout is 0.5"),
        ({"test": Path("a")}, "data.test needs data.train"),
        ({"group_column": "a"}, "data.group_column needs data.train"),
        ({"modules": Path("a"), "train": Path("b")}, "data.modules comes with data.train"),
        ({"max_target_length": 2}, "data.max_target_length is 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SummaryData(**changes)
