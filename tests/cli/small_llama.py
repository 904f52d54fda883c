"""A folder of a pretrained model, as small as it gets: an untrained but lively Llama over bytes."""

import json
from pathlib import Path
from typing import Any

import jax
import pytest
import tokenizers
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.pretrained import save_pretrained

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n"
    "{% if m.content == 'no' %}{{ raise_exception('refused') }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def write_small_llama(folder: Path, *, layers: int = 1, max_length: int = 64) -> None:
    """Writes config.json, weights, and a tokenizer with a chat template."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    known = {piece: i for i, piece in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(known, []))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    shape: dict[str, Any] = {
        "norm": "rms",
        "activation": "swiglu",
        "bias": False,
        "max_length": max_length,
        "embedding_scale": 1.0,
    }
    config = LanguageModelConfig(dim=16, heads=2, layers=layers, hidden=24, **shape)
    model = LanguageModel(config, vocab=len(known), rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 4.0 * leaf if leaf.ndim > 1 else leaf, state))
    save_pretrained(model, folder, family="llama")
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    write_small_llama(folder)
    return folder
