"""Which modules are the user's code behind an experiment."""

import sys
from pathlib import Path

import pytest

from attnjax.experiment.registry import Experiment
from attnjax.runs import code

pytestmark = pytest.mark.versions


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    folder, library = tmp_path / "experiments", tmp_path / "library"
    files = {
        folder
        / "mine.py": "import os, jax, attnjax.ops\nimport near\ndef task():\n    from far.deep import x\n",
        folder / "near.py": "import mine\nfrom far import beside\nimport not_there.at_all\n",
        folder / "unused.py": "",
        folder / ".venv" / "site-packages" / "installed.py": "import unused",
        library / "far" / "__init__.py": "",
        library / "far" / "deep" / "__init__.py": "from .. import other\nfrom ..other import y\nx = 1\n",
        library / "far" / "other.py": "import installed\n",
        library / "far" / "beside.py": "import broken\n",
        library / "far" / "unused.py": "",
        library / "broken.py": "x = = 1\n",
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    places = [str(folder), str(library), str(folder / ".venv" / "site-packages")]
    monkeypatch.setattr(sys, "path", [*sys.path, *places])
    return Experiment("mine", len, folder / "mine.py", 1)


def test_modules_are_found_by_reading_imports_however_late_or_far(experiment: Experiment) -> None:
    found = [module.name for module in code.modules(experiment)]
    assert found[0] == "mine"
    assert sorted(found) == sorted(["mine", "near", "far", "far.deep", "far.other", "far.beside", "broken"])
    assert not {"far", "near"} & sys.modules.keys()


def test_relative_imports_of_an_installed_experiment_are_found(experiment: Experiment, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "far.beside", type(sys)("far.beside"))
    sys.modules["far.beside"].__package__ = "far"
    file = experiment.file.parent.parent / "library" / "far" / "beside.py"
    file.write_text("from .other import x\n")

    def make() -> None: ...

    monkeypatch.setattr(make, "__module__", "far.beside")
    found = code.modules(Experiment("beside", make, file, 1))
    assert [module.name for module in found] == ["far.beside", "far", "far.other"]


def test_a_change_is_told_by_file_and_comments_are_none(experiment: Experiment) -> None:
    before, near = code.hashes(experiment), experiment.file.parent / "near.py"
    near.write_text('"""A docstring."""\n# A comment.\n' + near.read_text())
    assert code.changes(before, code.hashes(experiment), experiment) == []
    near.write_text("import unused\n")
    assert code.changes(before, code.hashes(experiment), experiment) == [
        "module broken is no longer imported",
        "module far.beside is no longer imported",
        f"{near} has changed",
        f"{near.with_name('unused.py')} is new",
    ]
