"""The README and the pages of the site: commands are commands, tutorials run, drawings are what is drawn."""

import glob
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import attnjax
from attnjax.cli import main
from attnjax.cli.command_line import COMMANDS, _parser
from attnjax.pretrained import family
from scripts.page_commands import BLOCK, PAGES, ROOT, STANDS_FOR, blocks, commands, lines, needs
from scripts.page_files import FILES

SHIPPED = (
    *("captioning", "copying", "faithfulness", "mechanisms", "mosaic", "mosaic_maps", "nearest", "recall"),
    *("recognition", "remove_and_retrain", "show_attend_tell", "translation", "translation_rnn", "turning"),
)
CORPORA = ("pairs.tsv", "train.de", "train.en", "test.de", "test.en", "new_cities.tsv")
OF_EXPERIMENTS = re.compile(r"--(model|train|data|loss)\.|--(seed|explained|baseline_steps|recurrent_steps)$")
"""Options that are fields of experiments whose corpora the tests lack."""
OF_TUTORIALS = {"sorting", "sorters", "."}


def of_page(page: Path) -> list[list[str]]:
    """Returns all commands of a page: those of its blocks, and those inside its sentences."""
    text = page.read_text(encoding="utf-8")
    shown = [body for language, _, body in blocks(page) if language in ("sh", "bash")]
    inside = re.findall(r"`(attnjax [^`]+)`", BLOCK.sub("", text))
    return [
        found for part in [*shown, *(" ".join(part.split()) for part in inside)] for found in commands(part)
    ]


def refuses(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Returns what the command line has against a command, without running it; nothing if it has nothing."""
    stands_for_one = any(re.fullmatch("[A-Z…]+", a) for a in arguments)
    if arguments[0] == "run" and arguments[1:2] and arguments[1] in SHIPPED and not stands_for_one:
        # It takes the same fields, and starts nothing; the options of a start are `run`'s own.
        _, fields = _parser().parse_known_args(arguments)
        return capsys.readouterr().err if main(["show", arguments[1], *fields]) else ""
    if arguments[0].startswith("-"):
        return ""
    if arguments[0] not in COMMANDS:
        return f"{arguments[0]} is no command"
    with pytest.raises(SystemExit):
        main([arguments[0], "--help"])
    text = capsys.readouterr().out
    options = (a.partition("=")[0] for a in arguments if a.startswith("--"))
    unknown = [o for o in options if o not in text and not OF_EXPERIMENTS.match(o)]
    return f"no option {unknown[0]}" if unknown else ""


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory with the corpora that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTNJAX_RUNS", raising=False)
    for name in CORPORA:
        Path(name).touch()


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in of_page(page):
        if not OF_TUTORIALS & set(arguments):
            assert not refuses(arguments, capsys), " ".join(arguments)


@pytest.mark.usefixtures("shipped")
def test_a_wrong_command_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert refuses(["train", "translation"], capsys)
    assert refuses(["run", "translation", "--model.headz", "8"], capsys)
    assert refuses(["sweep", "translation", "--gridd", "x=1"], capsys)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_command_names_is_there_for_scripts_pages_py(page: Path) -> None:
    """A run, and a file of the reader's."""
    stands_for = STANDS_FOR.get(str(page.relative_to(ROOT)), {})
    of_reader = FILES.keys() | {"docs.npy", "dog.html", "found.parquet", "1f600.png"}
    shown = [body for language, _, body in blocks(page) if language == "sh"]
    for command in (line.partition(" #")[0] for body in shown for line in lines(body) if not needs(line)):
        assert set(re.findall(r"\b(?:RUN\d?|SWEEP|EXPERIMENT|DIR)\b", command)) <= stands_for.keys(), command
        if not command.startswith(("python ", "scripts/")):
            found = re.findall(
                r"(?<![\w/.*-])[\w-]+\.(?:csv|tsv|json|txt|png|de|en|gz|links)(?![\w.])", command
            )
            assert set(found) <= of_reader, command


def test_no_word_but_a_path_is_a_pattern_of_files() -> None:
    """zsh refuses a command with a pattern that fits no file."""
    shown = [body for page in PAGES for language, _, body in blocks(page) if language == "sh"]
    for command in (line.partition(" #")[0] for body in shown for line in lines(body)):
        unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", command).split()
        assert not [word for word in unquoted if re.search(r"[*?\[(]", word) and "/" not in word], command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_scripts_that_a_page_names_are_there(page: Path) -> None:
    for name in re.findall(
        r"(?:scripts|benchmarks|tests|findings)/[\w./-]*\w", page.read_text(encoding="utf-8")
    ):
        assert "NAME" in name or (ROOT / name).exists(), name


def test_the_reference_has_what_it_names_and_all_of_attnjax() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    named = re.findall("^::: (.*)$", pages, re.MULTILINE)
    found = {name.rpartition(".")[2]: pkgutil.resolve_name(name) for name in named}
    assert all(callable(value) for value in found.values())
    assert set(attnjax.__all__) <= set(found)


def test_the_guide_has_a_row_for_each_family() -> None:
    text = (ROOT / "docs/guides/pretrained.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert [row.replace("-", "_") for row in rows[1:]] == family.names()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_drawings_are_what_their_script_draws(tmp_path: Path) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("drawings", ROOT / "scripts" / "drawings.py")
    assert spec is not None
    assert spec.loader is not None
    drawings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawings)
    drawings.main(tmp_path)
    drawn = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert drawn == {file.name: file.read_text() for file in (ROOT / "docs" / "drawings").iterdir()}


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    "pages", [("mechanism",), pytest.param(("experiment", "sweep"), marks=pytest.mark.slow)], ids=" ".join
)
def test_the_commands_of_a_tutorial_run_one_after_another(
    pages: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """In an empty folder with the pages' files. Estimates (--dry-run), which take longest, are left out."""
    for page in pages:
        for language, title, body in blocks(ROOT / "docs/tutorials" / f"{page}.md"):
            if title:
                Path(title).write_text(body)
            for arguments in commands(body) if language == "sh" else ():
                if "--dry-run" not in arguments:
                    arguments = [found for a in arguments for found in sorted(glob.glob(a)) or [a]]
                    assert main(arguments) == 0, (arguments, capsys.readouterr().err)


def test_the_examples_of_the_guides_apply_one_after_another_and_pass_the_linter(tmp_path: Path) -> None:
    """In a folder with what they touch; scripts/guides.sh runs their tests, in a clone."""
    diffs = sorted(ROOT.glob("docs/guides/*.diff"))
    touched = {name for diff in diffs for name in re.findall("^--- a/(.*)$", diff.read_text(), re.MULTILINE)}
    for name in ("pyproject.toml", *touched):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (
        *(["git", "apply", str(diff)] for diff in diffs),
        [*ruff, "check", "--no-cache", "--config", f"src=['{tmp_path}', '{ROOT}']"],
        [*ruff, "format", "--check", "--no-cache"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
