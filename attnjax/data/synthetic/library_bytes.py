"""Text that every machine has: the source of Python's standard library, byte by byte."""

import functools
import hashlib
import platform
import sysconfig
from pathlib import Path

import numpy as np

from attnjax.config import require
from attnjax.data.synthetic.config import LibraryBytesData
from attnjax.data.synthetic.questions import AS_TRAINED, FOUR_TIMES, LONGER, TWICE, Arrays, Split, stretched

PYTHON = platform.python_version()
"""The version whose library is read; another one has other texts. A run's provenance holds it too."""
_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}
_READ_AS = {"\n": "⏎", " ": "␣", ",": "‚"}
"""Whitespace and commas part the words of an input."""


class LibraryBytes:
    r"""Stretches of modules of the running Python's standard library; at each byte the next one is asked.

    A token is a byte. Modules are held out as a whole: by a hash of its name a tenth of them is for
    validation, a tenth for the test. Each stretch of a part's modules is as likely as any other. Those of
    longer settings are longer; a module that is shorter than a stretch is left out.

    What is learned depends on the version of Python, which is `PYTHON`.

    >>> data = LibraryBytes(LibraryBytesData(length=9))
    >>> made = data.rows(1, np.random.default_rng(0))
    >>> bool((made["tokens"][0, 1:] == made["answers"][0, :-1]).all())
    True
    >>> data.word(ord("a")), data.word(ord(" ")), data.word(9)
    ('a', '␣', '\\x09')
    """

    settings = (AS_TRAINED, LONGER, TWICE, FOUR_TIMES)
    vocab = 256

    def __init__(self, config: LibraryBytesData) -> None:
        self.config = config

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting.

        Raises:
          InputError: no module of the part is so long.
        """
        length = stretched(self.config.length, setting)
        # A stretch has a byte more than tokens: the last answer.
        texts = [np.frombuffer(text, np.uint8) for text in modules(part).values() if len(text) > length]
        require(bool(texts), f"data.length is {self.config.length}: no module of Python's library is so long")
        ends = np.cumsum([len(text) - length for text in texts])
        places = rng.integers(0, ends[-1], count)
        chosen = np.searchsorted(ends, places, side="right")
        starts = places - np.concatenate([[0], ends])[chosen]
        stretches = np.stack(
            [texts[i][start : start + length + 1] for i, start in zip(chosen, starts, strict=True)]
        ).astype(np.int32)
        return {"tokens": stretches[:, :-1], "answers": stretches[:, 1:]}

    def word(self, token: int) -> str:
        """Returns a byte as `byte_word` does."""
        return byte_word(token)


def byte_word(byte: int) -> str:
    """Returns a printable byte as it is, a space as ␣, a line's end as ⏎, others by their two hex digits."""
    character = chr(byte)
    visible = 32 <= byte < 127 or character == "\n"
    return _READ_AS.get(character, character) if visible else f"\\x{byte:02x}"


@functools.cache
def modules(part: Split) -> dict[str, bytes]:
    """Returns the texts of the modules of a part by their names ("json/decoder.py")."""
    return {name: file.read_bytes() for name, file in module_files(part).items()}


def module_files(part: Split) -> dict[str, Path]:
    """Returns the files of the modules of a part by their names."""
    return {name: file for name, file in library_files().items() if part_of(name) is part}


def library_files(folder: Path | None = None) -> dict[str, Path]:
    """Returns the files of all modules by their names, of another folder those that lie there."""
    folder = folder or Path(sysconfig.get_path("stdlib"))
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
    # What _sysconfigdata holds depends on the machine.
    kept = [n for n in names if not _LEFT_OUT & set(n.split("/")) and not n.startswith("_sysconfigdata")]
    return {name: folder / name for name in kept}


def part_of(name: str) -> Split:
    """Returns the part that a module belongs to, whatever the version of Python.

    >>> part_of("json/decoder.py").name, part_of("this.py").name
    ('TRAIN', 'TRAIN')
    """
    tenth = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return {0: Split.VALIDATION, 1: Split.TEST}.get(tenth, Split.TRAIN)
