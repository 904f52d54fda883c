"""Corpora on the disk: the same pairs as in memory, in files that are made once."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text import on_disk
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import read_corpus
from attnjax.data.text.filter_config import FilterConfig
from attnjax.data.text.on_disk import disk_corpus


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(on_disk, "PIECE", 17)  # Several pieces, and one that is not full.
    lines = [f"source {i // 2}\ttarget {i}" for i in range(200)] + [
        "bad",
        "source 3\ttarget 6",
        "x" * 70 + "\ty",
    ]
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    filters = FilterConfig(duplicates="pairs")
    return TranslationData(
        train=tmp_path / "a.tsv",
        holdout=0.1,
        on_disk=True,
        skip_malformed=True,
        filters=filters,
        max_source_length=40,
    )


def texts(corpus):
    """The training pairs, by decoding them."""
    sources, targets = corpus.store.rows(np.arange(corpus.sizes["train"]))
    pairs = zip(sources.lists(), targets.lists(), strict=True)
    return [(corpus.encoder.source.decode(s), corpus.encoder.target.decode(t[1:])) for s, t in pairs]


def test_the_pairs_of_all_parts_are_those_of_the_file(data):
    corpus = disk_corpus(data)
    held_out = [(e.source, e.target) for part in corpus.parts.values() for e in part]
    expected = {(f"source {i // 2}", f"target {i}") for i in range(200)}
    assert sorted([*texts(corpus), *held_out]) == sorted(expected)
    assert not {source for source, _ in texts(corpus)} & {source for source, _ in held_out}
    sizes = [len(corpus.parts[part]) for part in ("validation", "test")]
    assert all(8 <= size <= 36 for size in sizes)
    assert [line.partition(": ")[0][-4:] for line in corpus.left_out] == [":201", ":203"]
    assert dict(corpus.filtered.counts) == {"duplicates": 1}
    assert corpus.notes[0].startswith("200 pairs: ")


def test_the_files_are_made_once_and_anew_for_another_corpus(data, monkeypatch):
    first = disk_corpus(data)
    with monkeypatch.context() as patched:
        patched.setattr(on_disk._Builder, "build", lambda self: pytest.fail("it was made again"))
        again = disk_corpus(dataclasses.replace(data, buckets=3, word_dropout=0.1))
    assert texts(again) == texts(first)
    assert again.parts == first.parts
    data.train.write_text(data.train.read_text() + "\nmore\tlines")
    assert len(texts(disk_corpus(data))) >= len(texts(first))
    folders = list((Path(on_disk.user_cache()) / "on_disk").iterdir())
    assert len(folders) == 2


def test_tokenizers_learn_from_a_sample_of_all_lines_and_an_earlier_encoder_is_kept(data, monkeypatch):
    in_memory = read_corpus(dataclasses.replace(data, on_disk=False))
    corpus = disk_corpus(data)
    assert corpus.encoder.source.size == in_memory.encoder.source.size
    monkeypatch.setattr(on_disk, "SAMPLE", 20)
    data.train.write_text(data.train.read_text().replace("source 9", "quelle 9"))
    again = disk_corpus(data, corpus.encoder)
    assert again.encoder is corpus.encoder
    assert any(
        "<unk>" in corpus.encoder.source.names(row) for row in again.store.rows(np.arange(150))[0].lists()
    )


def test_lines_that_cannot_be_used_stop_it(data):
    strict = dataclasses.replace(data, skip_malformed=False)
    with pytest.raises(InputError, match=r"^2 of 203 lines cannot be used: .*a.tsv:201: 1 tab-separated"):
        disk_corpus(strict)
    few = data.train.parent / "few.tsv"
    few.write_text("a\tb\n")
    with pytest.raises(InputError, match=r"few.tsv: too few lines to hold out a"):
        disk_corpus(dataclasses.replace(data, train=few))
