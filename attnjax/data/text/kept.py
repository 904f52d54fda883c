"""Generated corpora on the disk: the same settings find what was made before, ready to train on.

Each lies in a folder of its own in the user's cache, named by a hash of all that decides it: the settings,
the code of this package, the versions of the libraries. Anything else that differs is made anew. A folder
appears whole or not at all, so processes need not wait for each other; what cannot be read counts as
absent.
"""

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

from attnjax.config import InputError, user_cache
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import Corpus, read_corpus
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.example import Example
from attnjax.experiment.identity import content_hash
from attnjax.experiment.serialize import encode

WORTH_KEEPING = 50_000
"""Examples. Fewer are made as fast as they are read."""
MOST = 8
"""Folders: the ones that were used last. Each takes some 50 MB."""
LATER = (
    *("word_dropout", "noise", "bpe_dropout", "unigram_alpha"),
    *("weights", "buckets", "batch_tokens", "packing"),
)
"""Settings of what becomes of a corpus in training."""
LIBRARIES = ("babel", "numpy", "tokenizers")


def kept_corpus(data: TranslationData) -> Corpus:
    """Returns what `read_corpus` does; generated examples from the cache where they lie there, else into it.

    The kept ones have no texts of the "train" part, whose arrays are what training reads.
    """
    if data.train is not None or data.examples < WORTH_KEEPING:
        return read_corpus(data)
    folder = user_cache() / "dates" / corpus_key(data)
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        return _loaded(folder)
    corpus = read_corpus(data)
    with suppress(OSError):  # Without a cache, or room in it, the next start makes it again.
        _keep(corpus, folder)
    return corpus


def corpus_key(data: TranslationData) -> str:
    """Returns a hash of all that decides the corpus of `data`, of what its files hold too."""
    encoded = encode(data, write_path=content_hash)
    for field in LATER:
        del encoded[field]
    # The room in the arrays depends on whether texts are cut anew.
    hashed = hashlib.sha256(json.dumps([encoded, data.regularised]).encode())
    hashed.update(json.dumps({library: version(library) for library in LIBRARIES}).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()[:32]


def _loaded(folder: Path) -> Corpus:
    found = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    parts = {part: [Example(*example) for example in examples] for part, examples in found["parts"].items()}
    # The pages of the arrays are read when a batch needs them.
    arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in found["arrays"]}
    corpus = Corpus(parts, TextEncoder.load(folder), arrays, [], found["sizes"])
    (folder / "corpus.json").touch()  # It was used.
    return corpus


def _keep(corpus: Corpus, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as place:
        new = Path(place) / folder.name
        new.mkdir()
        for name, array in corpus.train.items():
            np.save(new / f"{name}.npy", array)
        corpus.encoder.save(new)
        held_out = {part: examples for part, examples in corpus.parts.items() if part != "train"}
        record = {"parts": held_out, "sizes": corpus.sizes, "arrays": list(corpus.train)}
        (new / "corpus.json").write_text(json.dumps(record), encoding="utf-8")
        for file in new.iterdir():  # Before the folder has its name: a crash must not leave it with less.
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if (folder / "corpus.json").is_file():  # One that cannot be read, or another process's of just now.
            shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    forget_others(folder)


def forget_others(folder: Path) -> None:
    """Removes the folders beside this one that were used longest ago, but for the last ones."""
    used = sorted(folder.parent.glob("*/corpus.json"), key=lambda file: file.stat().st_mtime)
    for file in used[:-MOST]:
        shutil.rmtree(file.parent, ignore_errors=True)
