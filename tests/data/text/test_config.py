"""What TranslationData accepts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"holdout": 0.0}, "data.holdout is 0.0"),
        ({"holdout": 0.5}, "data.holdout is 0.5"),
        ({"word_dropout": 1.0}, "data.word_dropout is 1.0"),
        ({"tokenizer": "words"}, "data.tokenizer is 'words'"),
        ({"vocab_size": 3}, "data.vocab_size is 3"),
        ({"max_source_length": 0}, "data.max_source_length is 0"),
        ({"max_target_length": 2}, "data.max_target_length is 2"),
        ({"examples": 0}, "data.examples is 0"),
        ({"evaluation_examples": 0}, "data.evaluation_examples is 0"),
        ({"seed": -1}, "data.seed is -1"),
        ({"locales": ()}, "data.locales is empty"),
        ({"locales": ("de", "de")}, "data.locales names a locale twice"),
        ({"train_target": Path("a")}, "data.train_target needs data.train"),
        ({"test": Path("a")}, "data.test needs data.train"),
        ({"more": (Path("a"),)}, "data.more needs data.train"),
        ({"train": Path("a"), "more_target": (Path("b"),)}, "data.more_target has 1 files: expected 0"),
        ({"train": Path("a"), "tags": ("<x>", "<y>")}, "data.tags has 2 values: expected one for each"),
        ({"train": Path("a"), "tags": ("a b",)}, "data.tags has 'a b': expected one word"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(InputError, match=re.escape(message)):
        TranslationData(**fields)


def test_word_dropout_is_for_the_dates_unless_it_is_asked_for():
    own = Path("pairs.tsv")
    assert TranslationData().source_noise == 0.1
    assert TranslationData(train=own).source_noise == 0
    assert TranslationData(word_dropout=0.0).source_noise == 0
    assert TranslationData(train=own, word_dropout=0.3).source_noise == 0.3


def test_the_default_has_at_least_24_locales():
    assert len(TranslationData().locales) >= 24


def test_importing_the_config_imports_nothing_heavy():
    code = (
        "import sys, attnjax.data.text.config; "
        "print(*{'jax', 'flax', 'numpy', 'babel', 'tokenizers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
