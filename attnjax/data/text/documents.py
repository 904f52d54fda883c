"""Documents on the disk, read where a batch needs them: files of bytes, or tokens that a tokenizer made."""

import functools
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from attnjax.config import InputError, require, user_cache
from attnjax.data.synthetic.library_bytes import module_files
from attnjax.data.synthetic.questions import Split
from attnjax.data.text.documents_config import DocumentsData
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.experiment.identity import content_hash

PARTS = ("train", "validation", "test")
OPEN = 64
"""Files that stay mapped."""


class Documents:
    """Documents of one part, whose tokens stay on the disk until they are asked for.

    Args:
      files: of the bytes of each document, or one file of int32 tokens for all.
      sizes: tokens of each document.
      starts: the place of the first token of each in its file.
      bytes: of all documents.
      of_bytes: True where the files hold bytes, each a token.
    """

    def __init__(
        self,
        files: Sequence[Path],
        sizes: Sequence[int],
        starts: Sequence[int],
        *,
        bytes: int,
        of_bytes: bool,
    ) -> None:
        self.files, self.bytes = list(files), bytes
        self.sizes: Int[np.ndarray, " n"] = np.asarray(sizes, np.int64)
        self._starts = list(starts)
        kind = np.uint8 if of_bytes else np.int32
        self._mapped = functools.lru_cache(OPEN)(lambda file: np.memmap(file, kind, "r"))

    def __len__(self) -> int:
        return len(self.sizes)

    def read(self, document: int, start: int, stop: int) -> Int32[np.ndarray, " n"]:
        """Returns the tokens of a document from one place to another; no others are read."""
        first = self._starts[document]
        found = self._mapped(self.files[document])[first + start : first + stop]
        require(
            len(found) == stop - start, f"{self.files[document]} has changed while it was read: it is shorter"
        )
        return np.asarray(found, np.int32)


def document_parts(data: DocumentsData) -> dict[str, list[Path]]:
    """Returns the files of the parts "train", "validation" and "test".

    Files of your own that are held out are drawn by the seed; a module of the standard library is in the part
    that a hash of its name says. No file is in two parts.

    Raises:
      InputError: a path is nothing that can be read, a named file is empty, a folder has no text, files are
        too few to hold some out, or one is in two parts.
    """
    if not data.train:
        splits = zip(PARTS, (Split.TRAIN, Split.VALIDATION, Split.TEST), strict=True)
        return {part: _with_text(module_files(split).values()) for part, split in splits}
    given = {part: _files(part, getattr(data, part), data.suffixes) for part in PARTS if getattr(data, part)}
    missing = [part for part in PARTS if part not in given]
    files = given["train"]
    if missing:
        require(
            len(files) > len(missing),
            f"data.train has {len(files)} file(s): too few to hold out {' and '.join(missing)}; add files, "
            f"or give data.{missing[0]}",
        )
        count = min(math.ceil(data.holdout * len(files)), (len(files) - 1) // len(missing))
        order = np.random.default_rng([data.seed, 23]).permutation(len(files))
        for i, part in enumerate(missing):
            given[part] = [files[place] for place in sorted(order[i * count : (i + 1) * count])]
        given["train"] = [files[place] for place in sorted(order[len(missing) * count :])]
    home: dict[Path, str] = {}
    for part in PARTS:
        for file in given[part]:
            other = home.setdefault(file.resolve(), part)
            require(other == part, f"{file} is in data.{other} and in data.{part}: expected it in one")
    return {part: given[part] for part in PARTS}


def of_bytes(files: Sequence[Path]) -> Documents:
    """Returns files as documents of which each byte is a token."""
    sizes = [file.stat().st_size for file in files]
    return Documents(files, sizes, [0] * len(files), bytes=sum(sizes), of_bytes=True)


def of_tokens(files: Sequence[Path], tokenizer: PretrainedTokenizer, name: str) -> Documents:
    """Returns UTF-8 files as documents of tokens, which are made once and kept in the user's cache.

    One document at a time is in memory.

    Args:
      files: of the documents.
      tokenizer: makes their tokens.
      name: a hash of the tokenizer.

    Raises:
      InputError: a file is not UTF-8.
    """
    digest = hashlib.sha256(name.encode())
    for file in files:
        digest.update(content_hash("data", file).encode())
    place = user_cache() / "tokens" / digest.hexdigest()[:16]
    if not (place / "sizes.json").is_file():
        _keep(files, tokenizer, place)
    sizes = json.loads((place / "sizes.json").read_text(encoding="utf-8"))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
    total = sum(file.stat().st_size for file in files)
    return Documents([place / "tokens"] * len(files), sizes, starts, bytes=total, of_bytes=False)


def _keep(files: Sequence[Path], tokenizer: PretrainedTokenizer, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    sizes = []
    with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
        for document in files:
            ids = tokenizer.encode(_decoded(document), special=False)
            require(len(ids) > 0, f"{document} has no tokens")
            sizes.append(len(ids))
            file.write(np.asarray(ids, np.int32).tobytes())
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(place / "tokens")
    # It is written last: a crash before it leaves nothing that counts.
    (place / "sizes.new").write_text(json.dumps(sizes), encoding="utf-8")
    (place / "sizes.new").replace(place / "sizes.json")


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{file}:{line}: not UTF-8 (byte 0x{content[error.start]:02x}); without data.tokenizer "
            "any bytes do"
        ) from error


def _files(part: str, paths: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            chosen = [file for file in inside if not suffixes or file.name.endswith(tuple(suffixes))]
            with_text = _with_text(chosen)
            ends = f" whose name ends in {' or '.join(suffixes)}" if suffixes else ""
            require(len(with_text) > 0, f"data.{part}: {path} has no file with text{ends}")
            found += with_text
        else:
            require(path.is_file(), f"data.{part}: there is no file {path}")
            require(path.stat().st_size > 0, f"data.{part}: {path}: the file is empty")
            found.append(path)
    return list(dict.fromkeys(found))


def _with_text(files: Iterable[Path]) -> list[Path]:
    return [file for file in files if file.stat().st_size > 0]
