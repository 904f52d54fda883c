"""A tiny Whisper in a folder, with a tokenizer of bytes: it reads a second and writes what means nothing."""

import json
import wave
from pathlib import Path

import jax
import numpy as np
import tokenizers
from flax import nnx

from attnjax.models import Transformer, TransformerConfig
from attnjax.pretrained import ctranslate2, save_pretrained

MARKS = ["endoftext", "startoftranscript", "en", "de", "transcribe", "notimestamps"]
CONFIG = TransformerConfig(
    dim=16,
    heads=2,
    hidden=24,
    encoder_layers=2,
    decoder_layers=2,
    frames=80,
    max_vectors=50,
    max_length=24,
    positions="learned",
    norm_placement="pre",
    attention_bias="no_key",
    activation="gelu_exact",
    tie_embeddings=True,
    share_embeddings=False,
    embedding_scale=1.0,
    output_bias=False,
    norm_eps=1e-5,
)


def tokenizer() -> tokenizers.Tokenizer:
    """Bytes, a few words, and the marks after them."""
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator([" goodbye thank you"] * 9, 300, show_progress=False, min_frequency=2)
    inner = made._tokenizer
    inner.add_special_tokens([f"<|{name}|>" for name in MARKS])
    return inner


def tiny_whisper(folder: Path, *, seed: int = 3) -> Path:
    """Writes a model with weights so large that texts vary, its tokenizer and what it never writes."""
    inner = tokenizer()
    model = Transformer(CONFIG, source_vocab=None, target_vocab=inner.get_vocab_size(), rngs=nnx.Rngs(seed))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [x + jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, moved))
    save_pretrained(model, folder, family="whisper")
    inner.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    config |= {name: inner.token_to_id(mark) for name, mark in ctranslate2.MARKS.items()}
    (folder / "config.json").write_text(json.dumps(config))
    letters = set("abcdefghijklmnopqrstuvwxyz.Ġ")
    generation = {
        "alignment_heads": [[0, 1], [1, 0]],
        "suppress_tokens": [i for text, i in inner.get_vocab(False).items() if not letters.issuperset(text)],
        "begin_suppress_tokens": [inner.token_to_id(text) for text in ("Ġ", "odby")],
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def write_wav(
    file: Path, samples: np.ndarray, rate: int = 16_000, *, width: int = 2, channels: int = 1
) -> Path:
    """Writes samples in [-1, 1], the same in each channel."""
    whole = np.round(np.repeat(samples, channels) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    whole += 128 if width == 1 else 0
    data = whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(data)
    return file


def tones(seconds: float, rate: int = 16_000, *, hertz: float = 440.0) -> np.ndarray:
    """Half as loud as can be, with a pause in the middle."""
    times = np.arange(int(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * hertz * times) * (np.abs(times / seconds - 0.5) > 0.1)
