"""The wheel carries everything: an installed attnjax works without the checkout."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the backend that is installed here: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_holds_every_module_and_experiment_and_nothing_else(wheel):
    package = {str(file.relative_to(ROOT)) for file in ROOT.glob("attnjax/**/*.py")}
    experiments = {f"attnjax/_experiments/{file.name}" for file in ROOT.glob("experiments/*.py")}
    assert "attnjax/_experiments/translation.py" in experiments
    assert {name for name in contents(wheel) if name.endswith(".py")} == package | experiments


def test_the_parts_of_the_viewers_page_are_in_it(wheel):
    parts = {str(file.relative_to(ROOT)) for file in ROOT.glob("attnjax/explain/viewer/assets/*")}
    assert len(parts) > 10
    assert parts <= contents(wheel)


def test_type_checkers_read_its_types(wheel):
    assert "attnjax/py.typed" in contents(wheel)


def test_it_carries_the_licence_and_declares_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "attnjax = attnjax.cli:program" in archive.read(metadata).decode()
    assert any(name.endswith("licenses/LICENSE") for name in contents(wheel))


def test_its_description_has_no_picture_or_link_that_leads_nowhere(wheel):
    """The README's are relative: they hold in the repository, and not on the page of a package."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        description = archive.read(metadata).decode()
    assert "# attnjax" in description
    assert "*Picture docs/alignment.png: " in description
    places = re.findall(r"\]\(([^)]*)\)", re.sub(r"```.*?```", "", description, flags=re.DOTALL))
    assert [place for place in places if not place.startswith("http")] == []


def test_unpacked_elsewhere_it_lists_its_experiments(wheel, tmp_path):
    """The wheel's files shadow the checkout: what answers is the wheel, with this environment's libraries."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import attnjax, runpy; print(attnjax.__file__); runpy.run_module('attnjax', alter_sys=True)"
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code, "list"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    where, _, listing = done.stdout.partition("\n")
    assert Path(where) == site / "attnjax" / "__init__.py"
    assert re.search(r"\btranslation\b", listing)


@pytest.mark.slow
def test_installed_in_a_fresh_environment_it_lists_its_experiments(wheel, tmp_path):
    """The whole way of a user: a new environment, `pip install` of the wheel at the pinned versions."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-qq", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True)
    done = subprocess.run(
        [python.parent / "attnjax", "list"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "translation" in done.stdout


def pinned() -> dict[str, list[str]]:
    """Package -> the versions that constraints.txt holds for it, one per range of Pythons."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    versions: dict[str, list[str]] = {}
    for line in lines:
        if found := re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line):
            versions.setdefault(found[1], []).append(found[2])
    return versions


def declared() -> set[str]:
    """The names that pyproject.toml depends on, in the package itself or in an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for requirements in lists for line in requirements}
    return names - {project["name"]}  # One extra may name another.


def test_every_declared_dependency_is_pinned():
    assert declared() <= set(pinned())


def test_torch_is_pinned_to_a_version_that_every_index_has():
    assert [version for version in pinned()["torch"] if "+" in version] == []
    assert not [name for name in pinned() if name.startswith(("nvidia", "cuda", "triton"))]


def test_the_pins_name_no_place_to_download_from():
    assert not re.search(r"://|--|@ |sha256", (ROOT / "constraints.txt").read_text())
