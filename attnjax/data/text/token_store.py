"""The ids of training pairs in memory, or in files that are larger than it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int

from attnjax.data.text.encoder import Arrays
from attnjax.data.text.rows import Rows
from attnjax.data.text.tokenizer import PAD

Numbers = Int[np.ndarray, " n"]
SIDES = ("source", "target")


class MemoryStore:
    """The pairs of padded arrays.

    Args:
      arrays: as a `TextEncoder` gives them.
      corpora: the number of each pair's corpus.
    """

    def __init__(self, arrays: Arrays, corpora: Sequence[int] | Numbers) -> None:
        self._arrays = arrays
        self.source_lengths = arrays["source_lengths"]
        self.target_lengths = (arrays["target"] != PAD).sum(axis=1, dtype=np.int32)
        self.corpora: Numbers = np.asarray(corpora, np.int16)

    def rows(self, numbers: Numbers) -> tuple[Rows, Rows]:
        """Returns the sources, and the targets with their marks, of pairs."""
        found = []
        for name, all_lengths in zip(SIDES, (self.source_lengths, self.target_lengths), strict=True):
            taken, lengths = self._arrays[name][numbers], all_lengths[numbers]
            found.append(Rows(taken[np.arange(taken.shape[1]) < lengths[:, None]], lengths))
        return found[0], found[1]


class DiskStore:
    """The pairs of a folder that a `TokenWriter` wrote: pages are read when a batch needs them.

    Args:
      folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        dtype = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))["dtype"]
        kept = np.load(folder / "kept.npy")
        self._tokens, self._starts, lengths = [], [], []
        for side in SIDES:
            all_lengths = np.fromfile(folder / f"{side}_lengths.bin", np.int32)
            starts = np.cumsum(all_lengths, dtype=np.int64) - all_lengths
            # An empty file cannot be mapped.
            path = folder / f"{side}.bin"
            self._tokens.append(np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype))
            self._starts.append(starts[kept])
            lengths.append(all_lengths[kept])
        self.source_lengths, self.target_lengths = lengths
        self.corpora: Numbers = np.fromfile(folder / "corpora.bin", np.int16)[kept]

    def rows(self, numbers: Numbers) -> tuple[Rows, Rows]:
        """Returns the sources, and the targets with their marks, of pairs."""
        found = []
        for i, all_lengths in enumerate((self.source_lengths, self.target_lengths)):
            tokens, lengths = self._tokens[i], all_lengths[numbers]
            places = zip(self._starts[i][numbers].tolist(), lengths.tolist(), strict=True)
            parts = [tokens[start : start + length] for start, length in places]
            found.append(Rows(np.concatenate(parts).astype(np.int32), lengths))
        return found[0], found[1]


class TokenWriter:
    """The files of a `DiskStore`, written piece by piece.

    Args:
      folder: of the files.
      vocabularies: the numbers of tokens of both sides.
    """

    def __init__(self, folder: Path, vocabularies: tuple[int, int]) -> None:
        self._folder = folder
        self._dtype = np.dtype(np.uint16 if max(vocabularies) <= 1 << 16 else np.int32)
        names = [f"{side}{part}" for side in SIDES for part in ("", "_lengths")] + ["corpora", "keys"]
        self._files: dict[str, BinaryIO] = {name: (folder / f"{name}.bin").open("wb") for name in names}

    def add(self, sources: Rows, targets: Rows, corpora: Numbers, keys: bytes) -> None:
        """Appends pairs: their ids, corpora, and for each 8 bytes that duplicates share."""
        for side, rows in zip(SIDES, (sources, targets), strict=True):
            rows.ids.astype(self._dtype).tofile(self._files[side])
            rows.lengths.astype(np.int32).tofile(self._files[f"{side}_lengths"])
        corpora.astype(np.int16).tofile(self._files["corpora"])
        self._files["keys"].write(keys)

    def close(self, *, distinct: bool) -> int:
        """Writes what is left, and returns how many pairs went because they, or their keys, came before."""
        for file in self._files.values():
            file.close()
        keys = np.fromfile(self._folder / "keys.bin", np.uint64)
        kept = np.arange(len(keys), dtype=np.int32)
        if distinct:
            kept = np.sort(np.unique(keys, return_index=True)[1]).astype(np.int32)
        np.save(self._folder / "kept.npy", kept)
        (self._folder / "keys.bin").unlink()
        (self._folder / "tokens.json").write_text(json.dumps({"dtype": self._dtype.name}), encoding="utf-8")
        return len(keys) - len(kept)
