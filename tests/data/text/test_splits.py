"""How a user's corpus is split."""

import dataclasses

import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.splits import translation_splits


def corpus(path, lines):
    path.write_text("".join(f"{source}\t{target}\n" for source, target in lines), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    # Every source twice, with two translations: held-out sources must take both along.
    lines = [(f"source {i // 2}", f"target {i}") for i in range(200)]
    return TranslationData(train=corpus(tmp_path / "train.tsv", lines), holdout=0.1)


def test_the_share_is_held_out_for_validation_and_for_test(data):
    splits, malformed = translation_splits(data)
    assert malformed == []
    assert {part: len(examples) for part, examples in splits.items()} == {
        "train": 162,
        "validation": 20,
        "test": 18,
    }
    assert {example.group for example in splits["test"]} == {"test"}


def test_no_held_out_source_is_trained_on(data):
    splits = {part: {e.source for e in examples} for part, examples in translation_splits(data)[0].items()}
    assert not splits["train"] & (splits["validation"] | splits["test"])
    assert not splits["validation"] & splits["test"]


def test_the_split_depends_on_the_seed_only(data):
    assert translation_splits(data) == translation_splits(data)
    assert translation_splits(dataclasses.replace(data, seed=1)) != translation_splits(data)


def test_given_files_are_used_as_they_are(data, tmp_path):
    test = corpus(tmp_path / "test.tsv", [("a", "b")])
    splits, _ = translation_splits(dataclasses.replace(data, test=test))
    assert [(e.source, e.target) for e in splits["test"]] == [("a", "b")]
    assert len(splits["train"]) == 180


def test_too_few_lines_to_hold_out_are_refused(tmp_path):
    train = corpus(tmp_path / "train.tsv", [("a", "b"), ("a", "c")])
    with pytest.raises(InputError, match=r"train.tsv: 1 distinct source text"):
        translation_splits(TranslationData(train=train))
