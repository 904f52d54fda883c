"""A corpus gets into the cache whole or not at all, whatever happens on the way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attnjax.data.fetch.corpus import FetchedCorpus
from attnjax.data.fetch.packages import NotFetched, Package


def made(target: Path, package: Path) -> int:
    """A file and a folder with what the package says."""
    text = (package / "text").read_text()
    (target / "toy.tsv").write_text(text)
    (target / "toys").mkdir()
    (target / "toys" / text).write_text(text)
    return 7


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchedCorpus:
    """A corpus whose package is here already."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c d"))
    package = Package("hello", 0.5)
    package.folder.mkdir(parents=True)
    (package.folder / "text").write_text("old")
    runs = ("finetune --data.train FILE",)
    return FetchedCorpus("toy", "toys", "MIT", runs, (package,), ("toy.tsv", "toys"), "pairs", made)


def left(corpus: FetchedCorpus) -> list[str]:
    """What lies in the folder of corpora beside the packages."""
    return sorted(path.name for path in corpus.paths[0].parent.iterdir() if path.name != "packages")


def test_all_its_files_are_made_and_made_anew(toy: FetchedCorpus) -> None:
    notes: list[str] = []
    assert not toy.is_here
    assert toy.fetch(notes.append) == 7
    assert toy.is_here
    assert notes == ["writing toy"]
    assert toy.commands == (f"attnjax run finetune --data.train '{toy.paths[0]}'",)
    (toy.packages[0].folder / "text").write_text("new")
    toy.fetch(print)
    assert toy.paths[0].read_text() == "new"
    assert [path.name for path in toy.paths[1].iterdir()] == ["new"]  # Nothing of the old folder is left.
    assert left(toy) == ["toy.tsv", "toys"]
    toy.paths[0].unlink()
    assert not toy.is_here


def missing_library(target: Path, package: Path) -> int:
    raise ModuleNotFoundError("No module named 'fontTools.ttLib'", name="fontTools.ttLib")


def stopped(target: Path, package: Path) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (missing_library, NotFetched, "fontTools cannot be imported: `pip install fonttools` brings it"),
        (
            lambda target, package: made(target, package / "no"),
            NotFetched,
            "hello: .* has no .*/no/text",
        ),
        (stopped, KeyboardInterrupt, None),
    ],
    ids=["library", "another release", "Ctrl-C"],
)
def test_what_fails_half_way_leaves_what_was_there(
    toy: FetchedCorpus, make: Callable[..., int], error: type[BaseException], message: str | None
) -> None:
    def half(target: Path, package: Path) -> int:
        (target / "toy.tsv").write_text("half")
        return make(target, package)

    broken = replace(toy, make=half)
    with pytest.raises(error, match=message):
        broken.fetch(print)
    assert left(toy) == []
    toy.fetch(print)
    with pytest.raises(error):
        broken.fetch(print)
    assert left(toy) == ["toy.tsv", "toys"]
    assert toy.paths[0].read_text() == "old"
