"""Experiments are found in folders and packages; what is wrong with one is said in one line."""

from pathlib import Path

import pytest

from attnjax.config import InputError
from attnjax.experiment import registry

pytestmark = pytest.mark.versions

CONFIG = """
from dataclasses import dataclass
from attnjax.experiment.registry import experiment
from attnjax.train.config import TrainConfig

@experiment
@dataclass(frozen=True)
class Config:
    '''Summary of {0}.

    More.
    '''
    train: TrainConfig = TrainConfig()
    seed: int = 0
    def task(self, folder=None): ...
"""


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "_LOADED", set())
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


def write(folder: Path, name: str, text: str = CONFIG) -> Path:
    file = folder / f"{name}.py"
    file.write_text(text.replace("{0}", name))
    return file


def test_it_finds_this_projects_experiments_and_those_of_a_folder(tmp_path):
    write(tmp_path, "mine")
    assert registry.discover(tmp_path) == []
    assert {"mine", "translation"} <= {known.name for known in registry.known()}


def test_the_summary_is_the_first_line_of_the_configs_docstring(tmp_path):
    write(tmp_path, "mine")
    registry.discover(tmp_path)
    assert registry.find("mine").summary == "Summary of mine."


def test_a_function_that_returns_a_config_is_a_named_preset(tmp_path):
    preset = "\n@experiment(name='mine_long')\ndef long():\n    '''Longer.'''\n    return Config(seed=7)\n"
    write(tmp_path, "mine", CONFIG + preset)
    registry.discover(tmp_path)
    assert registry.default_config(registry.find("mine_long")).seed == 7
    assert registry.find("mine_long").summary == "Longer."


def test_files_that_begin_with_an_underscore_are_helpers(tmp_path):
    write(tmp_path, "_helper", "value = 3")
    write(tmp_path, "mine", "from _helper import value\n" + CONFIG)
    assert registry.discover(tmp_path) == []
    assert "_helper" not in {known.name for known in registry.known()}


def test_a_duplicate_name_is_an_error_that_names_both_places(tmp_path):
    first = write(tmp_path, "first")
    second = write(tmp_path, "second", CONFIG.replace("@experiment\n", "@experiment(name='first')\n"))
    with pytest.raises(InputError) as error:
        registry.discover(tmp_path)
    assert str(error.value) == f"experiment 'first' is defined twice: {first}:6 and {second}:6"


def test_two_unnamed_experiments_in_one_file_are_a_duplicate(tmp_path):
    write(tmp_path, "mine", CONFIG + CONFIG.replace("class Config", "class Other"))
    with pytest.raises(InputError, match="experiment 'mine' is defined twice"):
        registry.discover(tmp_path)


def test_discovering_twice_is_no_duplicate(tmp_path):
    write(tmp_path, "mine")
    registry.discover(tmp_path)
    assert registry.discover(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\ny = = 2\n", "broken.py:2: SyntaxError: invalid syntax"),
        (
            "\n\nimport no_such_package\n",
            "broken.py:3: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        (
            "from attnjax.train.config import TrainConfig\nTrainConfig(steps=-1)\n",
            "broken.py:2: InputError: train.steps",
        ),
    ],
)
def test_a_broken_file_is_one_line_and_leaves_the_others(tmp_path, text, problem):
    write(tmp_path, "broken", text)
    write(tmp_path, "mine")
    (found,) = registry.discover(tmp_path)
    assert problem in found
    assert "\n" not in found
    assert registry.find("mine")
    with pytest.raises(InputError, match=r"unknown experiment 'brokn'.*not loaded: .*broken.py"):
        registry.find("brokn", [found])


def test_an_unknown_name_gets_the_nearest_ones(tmp_path):
    registry.discover()
    with pytest.raises(InputError, match=r"unknown experiment 'tranlation'; did you mean translation"):
        registry.find("tranlation")


def test_installed_experiments_come_through_the_entry_point_group(tmp_path, monkeypatch):
    write(tmp_path, "installed_experiment")
    information = tmp_path / "thing-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[attnjax.experiments]\nok = installed_experiment\nbad = no_such_module\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    problems = registry.discover()
    assert registry.find("installed_experiment")
    assert problems == ["entry point no_such_module: ModuleNotFoundError: No module named 'no_such_module'"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONFIG.replace("    seed: int = 0\n", ""), "needs fields train and seed and a method task"),
        (CONFIG.replace("seed: int = 0", "seed: int = 0\n    runs: int = 0"), "the field runs clashes with"),
    ],
)
def test_a_config_that_the_runner_cannot_use_is_refused(tmp_path, text, message):
    write(tmp_path, "mine", text)
    registry.discover(tmp_path)
    with pytest.raises(InputError, match=message):
        registry.default_config(registry.find("mine"))
