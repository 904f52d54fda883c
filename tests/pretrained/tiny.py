"""A tiny BERT in a folder, whose tokenizer cuts off and fills up every text, and labelled texts."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import tokenizers
from flax import nnx

from attnjax.models import Encoder, EncoderConfig
from attnjax.pretrained import save_pretrained

WORDS = ["good", "bad", "fine", "poor", "film", "plot", "the", "a", "very", "is", "was", "and"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
CONFIG = EncoderConfig(
    dim=16,
    heads=2,
    layers=2,
    hidden=24,
    max_length=32,
    positions="learned",
    norm_placement="post",
    norm_eps=1e-12,
    embedding_norm=True,
    embedding_scale=1.0,
    token_types=2,
    pooler="tanh",
    activation="gelu_exact",
)


def tiny_bert(folder: Path, *, seed: int = 0, vocab: Sequence[str] = VOCAB) -> Path:
    """Writes a model with lively weights and its tokenizer."""
    model = Encoder(CONFIG, vocab=len(vocab), rngs=nnx.Rngs(seed))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [x + 0.2 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, moved))
    save_pretrained(model, folder, family="bert")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(vocab)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=24, pad_id=0, pad_token="[PAD]")
    tokenizer.enable_truncation(24)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def labelled(file: Path, *, numbers: bool = False) -> Path:
    """Writes texts whose label is that of their first word."""
    labels = {"good": 2.0, "fine": 1.0, "poor": -1.0, "bad": -2.0}
    rng = np.random.default_rng(0)
    lines = []
    for i, word in enumerate(itertools.islice(itertools.cycle(labels), 80)):
        rest = " ".join(rng.choice(WORDS[4:], 1 + i % 7))
        label = labels[word]
        shown = f"{label:g}" if numbers else ("positive" if label > 0 else "negative")
        lines.append(f"{word} {rest}\t{shown}\n")
    file.write_text("".join(dict.fromkeys(lines)))
    return file
