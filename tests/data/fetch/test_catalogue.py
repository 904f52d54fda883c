"""The rows of the catalogue: what experiments read is in them, and their commands are commands."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from attnjax.config import InputError, fetched_by
from attnjax.data.fetch.catalogue import CORPORA, corpus_named
from attnjax.data.fetch.packages import corpora_folder
from attnjax.experiment import overrides, registry


def paths(config: Any) -> Iterator[Path]:
    """All paths that a config names."""
    values = [getattr(config, field.name) for field in fields(config)]
    for value in values:
        if is_dataclass(value):
            yield from paths(value)
        elif isinstance(value, Path):
            yield value


def test_what_experiments_read_comes_of_the_command_that_is_named_where_it_is_missing() -> None:
    registry.discover()
    read = set()
    for experiment in registry.known():
        for path in paths(registry.default_config(experiment)):
            if path.is_relative_to(corpora_folder()):
                command = fetched_by(path)
                assert command is not None
                *words, name = command.split()
                corpus = corpus_named(name)
                assert words == ["attnjax", "data", "fetch"]
                assert any(path.is_relative_to(own) for own in corpus.paths)
                assert experiment.name in corpus.runs
                read.add((corpus.name, experiment.name))
    alone = {(corpus.name, run) for corpus in CORPORA.values() for run in corpus.runs if " " not in run}
    assert read == alone


@pytest.mark.parametrize("name", CORPORA)
def test_the_commands_that_read_a_corpus_are_commands(name: str) -> None:
    registry.discover()
    for command in CORPORA[name].commands:
        attnjax, run, *arguments = command.split()
        assert (attnjax, run) == ("attnjax", "run")
        config = registry.default_config(registry.find(arguments[0]))
        overrides.apply(config, arguments[1:], program="attnjax run")


def test_no_two_corpora_share_a_file_and_each_file_names_its_corpus() -> None:
    files = [file for corpus in CORPORA.values() for file in corpus.files]
    assert len(set(files)) == len(files)
    for corpus in CORPORA.values():
        assert all(corpus_named(path.stem) is corpus for path in corpus.paths)
        assert fetched_by(corpus.paths[0] / "inside") == f"attnjax data fetch {corpus.paths[0].stem}"
    assert fetched_by(corpora_folder()) is None


def test_an_unknown_corpus_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^unknown corpus 'fashion'; did you mean fashion_mnist"):
        corpus_named("fashion")
    with pytest.raises(InputError, match=r"^unknown corpus '12345'; `attnjax data` prints the names$"):
        corpus_named("12345")
