"""Public primitives have an example, which doctest runs; a docstring begins with its subject."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import attnjax
from attnjax import models

PACKAGE = Path(attnjax.__file__).parent
ROOMS = (
    *("cli", "data", "experiment", "explain", "mechanisms", "models", "nn", "ops"),
    *("runs", "sweeps", "tasks", "testing", "train"),
)
"""The rooms whose docstrings are in the form that the guide for contributors names."""
QUESTION = re.compile(r"(What|How|Which|Whether|Why|Where)\b")


@pytest.mark.parametrize("name", attnjax.__all__)
def test_a_primitive_has_an_example(name: str) -> None:
    assert ">>> " in inspect.getdoc(getattr(attnjax, name))


@pytest.mark.parametrize("function", [models.generate, models.alignment])
def test_decoding_has_an_example(function) -> None:
    assert ">>> " in inspect.getdoc(function)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of each docstring, and of each text below a field or a constant."""
    for node in ast.walk(ast.parse(source)):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.lineno, value.value


def questions(source: str) -> list[int]:
    """The lines of docstrings that begin with a question word instead of a subject."""
    return sorted(line for line, text in docstrings(source) if QUESTION.match(text.strip()))


@pytest.mark.parametrize("room", ROOMS)
def test_a_docstring_begins_with_its_subject(room: str) -> None:
    found = {
        f"{file.relative_to(PACKAGE)}:{line}"
        for file in sorted(PACKAGE.glob(f"{room}/**/*.py"))
        for line in questions(file.read_text())
    }
    assert found == set()


@pytest.mark.parametrize("word", ["What", "How", "Which", "Whether"])
def test_a_docstring_that_begins_with_a_question_is_seen(word: str) -> None:
    planted = f'def f():\n    """{word} it is."""\nLIMIT = 1\n"""{word} many."""\n'
    assert questions(planted) == [2, 4]
    assert questions(planted.replace(word, "The")) == []
