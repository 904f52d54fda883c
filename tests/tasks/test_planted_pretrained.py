"""Planted sequences for a pretrained encoder: its rows of the words, its shape, its parameters."""

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.synthetic.planted import MASK, PADDING, Sentiment
from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.models import Encoder
from attnjax.pretrained import from_pretrained
from attnjax.tasks.beginning import flat
from attnjax.tasks.planted_pretrained import PretrainedPlantedTask
from tests.pretrained.tiny import VOCAB, tiny_bert

SOURCE = Sentiment(PlantedData(clauses=2))
WORDS = [SOURCE.word(token) for token in range(SOURCE.vocab)]
# In another order, and with marks and words that no sentence has.
FULL = [*VOCAB, *(word for word in reversed(WORDS) if word not in VOCAB and word != WORDS[PADDING])]


def test_it_begins_as_the_pretrained_encoder_with_the_rows_of_its_words(tmp_path: Path) -> None:
    task = PretrainedPlantedTask(SOURCE, tiny_bert(tmp_path, vocab=FULL), batch_size=4)
    given = from_pretrained(tmp_path)
    assert isinstance(given, Encoder)
    task.begin_from(lambda: flat(nnx.to_pure_dict(nnx.state(given, nnx.Param))), "bert")
    begun = task.initial_params()
    assert task.begun is not None
    assert "made new: head.output.bias [2]" in task.begun

    rows = flat(begun)["embedding.tokens.embedding"]
    whole = given.embedding.tokens.embedding[...]
    assert len(rows) == SOURCE.vocab < len(whole)
    for token, word in enumerate(WORDS):
        np.testing.assert_array_equal(rows[token], whole[FULL.index("[PAD]" if token == PADDING else word)])

    kernel = given.blocks[1].attention.out.kernel[...]
    np.testing.assert_array_equal(flat(begun)["blocks.1.attention.out.kernel"], kernel)
    assert MASK in task.batch(0)["tokens"]


def test_a_word_that_it_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.init_from is .*: its tokenizer has no token .*never"):
        PretrainedPlantedTask(SOURCE, tiny_bert(tmp_path), batch_size=4)
