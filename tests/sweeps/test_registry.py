"""Named sweeps are found beside their experiments; what is wrong with one is said in one line."""

import dataclasses

import pytest

from attnjax.cli import main, run_tables
from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.sweeps.registry import find_sweep, known_sweeps

CONFIG = """
from dataclasses import dataclass
from attnjax.experiment.registry import experiment
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

@experiment
@dataclass(frozen=True)
class Config:
    '''A config.'''
    train: TrainConfig = TrainConfig()
    seed: int = 0
    def task(self, folder=None): ...

"""
RATES = '''
@sweep(Config, metric="all points/error", mode="min", base={"train.steps": 600})
def rates():
    """How fast may it learn?

    Two rates.
    """
    for rate in (0.1, 0.2):
        yield {"train.learning_rate": rate}

'''
PRESET = """
@experiment(name='long')
def preset():
    return Config(seed=7)

"""


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "_LOADED", set())
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


@pytest.fixture
def load(tmp_path):
    """Discovers one experiment file `mine.py` with this text below its config; the problems."""

    def load(*parts: str, name: str = "mine") -> list[str]:
        (tmp_path / f"{name}.py").write_text(CONFIG + "".join(parts))
        return registry.discover(tmp_path)

    return load


def test_a_sweep_is_what_its_decorator_and_its_docstring_say(load, tmp_path):
    assert load(RATES) == []
    found = find_sweep("rates")
    assert found in known_sweeps()
    assert found.experiment == registry.find("mine")
    assert found.base == {"train.steps": 600}
    assert (found.metric, found.mode) == ("all points/error", "min")
    assert found.summary == "How fast may it learn?"
    assert found.description == "How fast may it learn?\n\nTwo rates."
    assert found.changes() == [{"train.learning_rate": 0.1}, {"train.learning_rate": 0.2}]
    assert found.place == f"{tmp_path}/mine.py:16"


def test_what_is_not_given_is_left_to_the_task(load):
    load("@sweep(Config)\ndef seeds():\n    yield {}\n")
    found = find_sweep("seeds")
    assert (found.base, found.metric, found.mode, found.summary) == ({}, None, None, "")


def test_a_sweep_may_have_another_name_and_may_be_of_a_preset(load):
    assert load(PRESET, RATES.replace("Config, ", "preset, name='fast', ")) == []
    assert find_sweep("fast").experiment.name == "long"
    with pytest.raises(InputError, match="unknown sweep 'rates'"):
        find_sweep("rates")


def test_sweeps_are_no_experiments(load):
    load(RATES)
    assert "rates" not in {known.name for known in registry.known()}
    assert "mine" not in {known.name for known in known_sweeps()}
    with pytest.raises(
        InputError, match=r"unknown experiment 'rates': that is the name of the sweep at .*:16"
    ):
        registry.find("rates")
    with pytest.raises(InputError, match=r"unknown sweep 'mine': that is the name of the experiment at .*:7"):
        find_sweep("mine")


def test_an_unknown_sweep_gets_the_nearest_names(load):
    load(RATES)
    with pytest.raises(InputError, match=r"unknown sweep 'ratess'; did you mean rates\?$"):
        find_sweep("ratess")
    with pytest.raises(
        InputError, match=r"unknown sweep 'zzz'; known: .*rates.*; not loaded: x.py:1: Error$"
    ):
        find_sweep("zzz", ["x.py:1: Error"])


def test_two_sweeps_of_one_name_are_refused(load, tmp_path):
    load(RATES)
    with pytest.raises(registry.DuplicateError) as error:
        load(RATES, name="other")
    assert (
        str(error.value)
        == f"sweep 'rates' is defined twice: {tmp_path}/mine.py:16 and {tmp_path}/other.py:16"
    )


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ((RATES.replace("Config, ", "Config, name='mine', "),), "experiment and sweep 'mine'"),
        ((RATES, PRESET.replace("long", "rates")), "sweep and experiment 'rates'"),
        (
            (PRESET, RATES.replace("Config, ", "Config, name='long', ").replace("def rates", "def preset")),
            "experiment and sweep 'long'",
        ),
    ],
)
def test_a_sweep_and_an_experiment_of_one_name_are_refused(load, parts, kinds):
    with pytest.raises(
        registry.DuplicateError, match=f"^{kinds} is defined twice: .*mine.py:.* and .*mine.py:"
    ):
        load(*parts)


def test_discovering_twice_is_no_duplicate(load, monkeypatch):
    load(RATES)
    monkeypatch.setattr(registry, "_LOADED", set())
    assert load(RATES) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RATES.replace('"min"', '"least"'), "mode is 'least': expected 'max', 'min' or None"),
        (RATES.replace("all points/error", "error"), "metric is 'error': expected 'ROW/COLUMN' of the"),
        (RATES.replace("all points/error", "all points/"), "metric is 'all points/': expected"),
        (RATES.replace("all points/error", "/error"), "metric is '/error': expected"),
        (RATES.replace("all points/error", ""), "metric is '': expected"),
        (
            RATES.replace("Config, ", "TrainConfig, "),
            "TrainConfig is no experiment: expected what @experiment",
        ),
        (RATES.replace("Config, ", "'mine', "), "'mine' is no experiment: expected what @experiment"),
    ],
)
def test_a_decorator_that_is_wrong_is_one_line_that_names_the_place(load, text, message):
    (problem,) = load(text)
    assert f"mine.py:16: InputError: sweep rates: {message}" in problem
    assert "rates" not in {known.name for known in known_sweeps()}


def test_a_sweep_that_yields_no_dictionary_is_refused(load):
    load("@sweep(Config)\ndef pairs():\n    yield ('seed', 1)\n")
    with pytest.raises(
        InputError, match=r"mine.py:15: sweep pairs yields \('seed', 1\): expected a dictionary"
    ):
        find_sweep("pairs").changes()


def test_list_prints_sweeps_under_the_experiments(load, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(CONFIG + RATES)
    assert main(["list", "--experiments", str(tmp_path)]) == 0
    above, _, below = capsys.readouterr().out.partition("\n\nsweeps:\n")
    assert ["mine", "A config."] in [line.split(maxsplit=1) for line in above.splitlines()]
    assert ["rates", "How fast may it learn?"] in [line.split(maxsplit=1) for line in below.splitlines()]
    assert "rates" not in above


def test_only_sweeps_of_the_experiments_are_printed_and_no_heading_without_one(load):
    load(RATES)
    mine, other = registry.find("mine"), dataclasses.replace(registry.find("mine"), name="other")
    assert run_tables.experiments([mine]).endswith("\n\nsweeps:\nrates  How fast may it learn?")
    assert "\n" not in run_tables.experiments([other])
