"""Documents on the disk, read where a batch needs them: files of bytes, or tokens that a tokenizer made."""

import functools
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
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
"""Files that stay open."""
PIECE_BYTES = 1 << 20
"""Bytes of a document that a tokenizer reads at once, about: what it makes of them takes far more memory."""


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
        self._kind = np.dtype(np.uint8 if of_bytes else np.int32)
        # Read and not mapped: the pages of a map count as memory of the process, and few are ever given back.
        self._opened = functools.lru_cache(OPEN)(lambda file: file.open("rb"))

    def __len__(self) -> int:
        return len(self.sizes)

    def read(self, document: int, start: int, stop: int) -> Int32[np.ndarray, " n"]:
        """Returns the tokens of a document from one place to another; no others are read."""
        file, size = self._opened(self.files[document]), self._kind.itemsize
        first = self._starts[document] + start
        found = os.pread(file.fileno(), (stop - start) * size, first * size)
        whole = len(found) == (stop - start) * size
        require(whole, f"{self.files[document]} has changed while it was read: it is shorter")
        return np.frombuffer(found, self._kind).astype(np.int32)


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

    At most a piece of a document is in memory. One of more than `PIECE_BYTES` is cut where a line begins, a
    word if its lines are longer, and the tokens of a cut word or of its spaces may be others than in one go.

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
            size = 0
            for text in _pieces(document):
                ids = tokenizer.encode(text, special=False)
                size += len(ids)
                file.write(np.asarray(ids, np.int32).tobytes())
            require(size > 0, f"{document} has no tokens")
            sizes.append(size)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(place / "tokens")
    # It is written last: a crash before it leaves nothing that counts.
    (place / "sizes.new").write_text(json.dumps(sizes), encoding="utf-8")
    (place / "sizes.new").replace(place / "sizes.json")


def _pieces(file: Path) -> Iterator[str]:
    """Returns the text of a file, piece by piece. Raises InputError where it is not UTF-8."""
    line, left = 1, b""
    with file.open("rb") as opened:
        while True:
            read = opened.read(PIECE_BYTES)
            content = left + read
            # At the end of the file nothing comes that could belong to what is there.
            end = _cut(content) if len(read) == PIECE_BYTES else len(content)
            piece, left = content[:end], content[end:]
            try:
                yield piece.decode("utf-8")
            except UnicodeDecodeError as error:
                line += piece.count(b"\n", 0, error.start)
                raise InputError(
                    f"{file}:{line}: not UTF-8 (byte 0x{piece[error.start]:02x}); without data.tokenizer "
                    "any bytes do"
                ) from error
            line += piece.count(b"\n")
            if len(read) < PIECE_BYTES:
                return


def _cut(content: bytes) -> int:
    """Returns where the last line begins, or the last word, or the last character where there is one word."""
    for sign in (b"\n", b" "):
        if (place := content.rfind(sign)) >= 0:
            return place + 1
    place = len(content) - 1
    while place > 0 and content[place] & 0xC0 == 0x80:  # A byte within a character.
        place -= 1
    return place or len(content)


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
