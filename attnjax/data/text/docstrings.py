"""Docstrings of Python modules: what follows the first line, and the first line, which sums it up."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attnjax.config import InputError
from attnjax.data.synthetic.library_bytes import PYTHON, library_files, part_of
from attnjax.data.text.example import Example
from attnjax.data.text.words import spaced

LEAST_WORDS = 3
"""Words of a first line; shorter ones are names."""
ENDS = (".", "!", "?", ":")
"""Marks of a first line that does not go on in the second."""

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_parts(folder: Path | None = None) -> tuple[dict[str, list[Example]], Counter[str]]:
    """Returns docstrings as examples of the parts "train", "validation" and "test", and how many are none.

    The source is what follows the first line, without examples of the interpreter; the target is the first
    line. A part holds whole modules, of a package all files: which ones, a hash of the name decides, so that
    it is the same in every version of Python. A text that was there before is left out, wherever it stands.

    Args:
      folder: of the modules; None: the running Python's standard library.

    Raises:
      InputError: a part has no docstring.

    References:
      PEP 257, Docstring Conventions, 2001: a summary line, then a blank one, then the rest.
    """
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for name, file in library_files(folder).items():
        module = name.partition("/")[0].removesuffix(".py")
        for line, docstring in docstrings(file):
            counts["docstrings"] += 1
            found = summary_of(docstring)
            if isinstance(found, str):
                counts[found] += 1
                continue
            text, first = map(spaced, found)
            if text in seen:
                counts["the text was there before"] += 1
                continue
            seen.add(text)
            parts[part_of(module).name.lower()].append(Example(text, first, module, f"{name}:{line}"))
    for part, examples in parts.items():
        if not examples:
            where = f"data.modules is {str(folder)!r}" if folder else f"Python {PYTHON}'s standard library"
            raise InputError(
                f"{where}: no module of the {part} part has a docstring with a first line and more"
            )
    return parts, counts


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Yields the docstrings of a file with the lines of what they document; none where it does not parse."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # Python's own library has files that are wrong on purpose.
        return
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and (docstring := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), docstring


def summary_of(docstring: str) -> tuple[str, str] | str:
    r"""Returns the text and the first line of a docstring, or why it has none.

    >>> summary_of("Return the sum of both.\n\nNumbers are added.\n\n>>> add(1, 2)\n3")
    ('Numbers are added.', 'Return the sum of both.')
    >>> summary_of("Return the sum\nof both numbers.")
    'the first line goes on'
    """
    first, _, rest = docstring.strip().partition("\n")
    if not rest.strip():
        return "there is a first line alone"
    prose, example = [], False
    for line in rest.splitlines():
        example = (example or line.strip().startswith(">>>")) and bool(line.strip())
        prose += [] if example else [line.strip()]
    text = " ".join(" ".join(prose).split())
    if not any(map(str.isalnum, text)):
        return "the rest is examples"
    if rest.splitlines()[0].strip() and not first.rstrip().endswith(ENDS):
        return "the first line goes on"
    if sum(any(map(str.isalnum, word)) for word in spaced(first).split()) < LEAST_WORDS:
        return f"the first line has fewer than {LEAST_WORDS} words"
    return text, first.strip()
