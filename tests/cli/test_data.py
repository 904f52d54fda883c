"""`attnjax data`: the list, and what is fetched once, of the corpora of a cache of its own."""

from pathlib import Path

import pytest

from attnjax.data.fetch import catalogue, images
from attnjax.data.fetch.corpus import FetchedCorpus
from attnjax.data.fetch.packages import Package


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The calls that made the corpora toy and emoji; the tool of the corpus gone is missing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    calls: list[object] = []

    def write(name: str):
        def make(target: Path, **options: object) -> int:
            calls.append(options.get("languages", name))
            (target / name).write_text("text")
            return 1000

        return make

    for name, packages in (("toy", ()), ("emoji", ()), ("gone", (Package("hello", 2.5),))):
        row = FetchedCorpus(name, f"{name} alone", "MIT", ("toy",), packages, (name,), "pairs", write(name))
        monkeypatch.setitem(catalogue.CORPORA, name, row)
    return calls


def test_what_is_here_is_said_and_not_fetched_again(attnjax, made, tmp_path) -> None:
    place = tmp_path / "cache" / "attnjax" / "corpora" / "toy"
    assert attnjax("data", "fetch", "toy") == (
        0,
        f"toy: 1,000 pairs in {place}\n  attnjax run toy\n",
        "attnjax: writing toy\n",
    )
    assert attnjax("data", "fetch", "toy", "toy") == (0, f"toy is here: {place}\n", "")
    assert made == ["toy"]
    assert attnjax("data", "fetch", "toy", "--fresh")[0] == 0
    assert made == ["toy", "toy"]


def test_the_list_has_a_line_for_each_and_says_which_are_here(attnjax, made, tmp_path) -> None:
    attnjax("data", "fetch", "toy")
    code, out, err = attnjax("data")
    assert (code, err) == (0, "")
    title, *lines, _, where = out.splitlines()
    assert title.split() == "corpus to fetch licence for `attnjax run` meaning here".split()
    assert [line.split()[0] for line in lines] == list(catalogue.CORPORA)
    assert str(tmp_path / "cache" / "attnjax" / "corpora") in where
    rows = {line.split()[0]: line for line in lines}
    assert rows["toy"].endswith("toy alone".ljust(len(rows["toy"]) - title.index("meaning") - 3) + "toy")
    assert rows["gone"].split() == ["gone", "2.5", "MB", "MIT", "toy", "gone", "alone"]
    assert attnjax("data", "list", "gone")[1].splitlines()[1].split() == rows["gone"].split()


def test_one_that_cannot_be_had_is_one_line_and_the_others_go_on(attnjax, made) -> None:
    code, out, err = attnjax("data", "fetch", "gone", "toy")
    assert code == 1
    assert out.startswith("toy: 1,000 pairs")
    assert err.splitlines()[0].startswith(
        "attnjax: error: gone: the package hello comes with apt-get, which is"
    )
    assert err.splitlines()[1:] == ["attnjax: writing toy"]


def test_other_languages_of_emoji_are_written_in_the_place_of_what_is_here(attnjax, made) -> None:
    attnjax("data", "fetch", "emoji")
    assert attnjax("data", "fetch", "emoji", "--languages", "tr", "hi")[0] == 0
    assert made == ["emoji", ["tr", "hi"]]
    assert "default: " + " ".join(images.LANGUAGES) in " ".join(attnjax("data", "--help")[1].split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fetch", "which corpora? `attnjax data fetch NAME`; `attnjax data` prints the names"),
        ("fetch toy flim", "unknown corpus 'flim'; did you mean film?"),
        ("list flim", "unknown corpus 'flim'; did you mean film?"),
        ("fetch toy --languages tr", "--languages: it is for emoji alone"),
        ("list --fresh", "--fresh and --languages: they are for `attnjax data fetch`"),
        ("toy", "argument ACTION: invalid choice: 'toy'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_fetched(attnjax, made, arguments, message) -> None:
    code, out, err = attnjax("data", *arguments.split())
    assert (code, out, err.count("\n"), made) == (2, "", 1, [])
    assert message in err
