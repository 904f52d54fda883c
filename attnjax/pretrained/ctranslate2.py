"""Whisper in CTranslate2's format, which faster-whisper reads, as a folder with Hugging Face's names."""

import json
import shutil
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError, require
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.pretrained.folder import CONFIG
from attnjax.pretrained.safetensors_file import Written, write_safetensors
from attnjax.pretrained.tensors import SAFETENSORS, read_json

VERSION, SPEC = 6, "WhisperSpec"
KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
"""What the last part of a name becomes."""
MARKS = {
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), "<|endoftext|>"),
    "decoder_start_token_id": "<|startoftranscript|>",
}
_DTYPES = ("float32", "int8", "int16", "int32", "float16")


def read_ctranslate2(file: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a model.bin by name.

    Raises:
      InputError: The file is of another version or kind of model, is cut off, or has dtypes that are not
        known here.
    """
    data, at = file.read_bytes(), 0

    def number(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{code}", data, at)
        at += struct.calcsize(code)
        return int(value)

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    arrays = {}
    try:
        found = number("I"), text()
        require(
            found == (VERSION, SPEC), f"{file} is version {found[0]}, {found[1]}: expected {VERSION}, {SPEC}"
        )
        number("I")  # The revision of the specification.
        for _ in range(number("I")):
            name = text()
            shape = [number("I") for _ in range(number("B"))]
            dtype = np.dtype(_DTYPES[number("B")])
            size = number("I")
            arrays[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
            at += size
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file} is no file of CTranslate2, or cut off at byte {at} of {len(data)}"
        ) from None
    return arrays


def convert_whisper(source: Path, folder: Path) -> None:
    """Writes a Whisper of CTranslate2 as a folder of Hugging Face's names, the numbers as they are.

    Args:
      source: with model.bin, config.json and tokenizer.json.
      folder: a new one.

    Raises:
      InputError: As in `read_ctranslate2`; a file or an array is missing, weights are whole numbers, or the
        folder exists.
    """
    for name in ("model.bin", CONFIG, "tokenizer.json"):
        require((source / name).is_file(), f"{source} has no {name}: expected a Whisper of CTranslate2")
    require(not folder.exists(), f"{folder} exists: expected the name of a new folder")
    settings = read_json(source / CONFIG)
    arrays = read_ctranslate2(source / "model.bin")
    scaled = next((name for name in arrays if name.endswith("_scale")), None)
    require(scaled is None, f"{source} has whole numbers ({scaled}): expected float16 or float32")
    try:
        tensors, config = _tensors(arrays), _config(arrays)
    except KeyError as error:
        raise InputError(f"{source / 'model.bin'} has no {error.args[0]}: expected all of Whisper") from None
    tokenizer = PretrainedTokenizer(source / "tokenizer.json")
    config |= {name: tokenizer.id(text) for name, text in MARKS.items()}
    part = folder.with_name(f".{folder.name}.part")  # The folder is there when it is whole.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _write_json(part / CONFIG, config)
    _write_json(part / "generation_config.json", _generation(settings))
    shutil.copyfile(source / "tokenizer.json", part / "tokenizer.json")
    written = [Written(name, x.dtype, x.shape, partial(np.asarray, x)) for name, x in tensors.items()]
    write_safetensors(part / SAFETENSORS, written)
    part.rename(folder)


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors by Hugging Face's names. Query, key and value are rows of one matrix on disk."""
    left = {name: x for name, x in arrays.items() if x.ndim}
    tensors: dict[str, np.ndarray] = {}

    def put(ours: str, theirs: str) -> None:
        for theirs_kind, kind in KINDS.items():
            if (array := left.pop(f"{theirs}/{theirs_kind}", None)) is not None:
                tensors[f"{ours}.{kind}"] = array

    def put_rows(ours: str, theirs: str, names: str) -> None:
        for kind in ("weight", "bias"):
            rows = np.split(left.pop(f"{theirs}/{kind}"), len(names))
            # Keys have no bias: here it is 0.
            named = {
                name: own for name, own in zip(names, rows, strict=True) if (kind, name) != ("bias", "k")
            }
            tensors.update({f"{ours}.{name}_proj.{kind}": own for name, own in named.items()})

    for side in ("encoder", "decoder"):
        tensors[f"model.{side}.embed_positions.weight"] = left.pop(f"{side}/position_encodings/encodings")
        put(f"model.{side}.layer_norm", f"{side}/layer_norm")
        for i in range(_layers(arrays, side)):
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
    require(not left, f"the file has {', '.join(sorted(left)[:3])}: nothing of Whisper's stands for it")
    return tensors


def _layers(arrays: dict[str, np.ndarray], side: str) -> int:
    """Returns the number of layers of the encoder or the decoder."""
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in arrays)


def _config(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns what config.json says."""
    dim, bands, _ = arrays["encoder/conv1/weight"].shape
    config: dict[str, Any] = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "d_model": dim,
        "num_mel_bins": bands,
        "vocab_size": len(arrays["decoder/embeddings/weight"]),
        "max_source_positions": len(arrays["encoder/position_encodings/encodings"]),
        "max_target_positions": len(arrays["decoder/position_encodings/encodings"]),
    }
    for side in ("encoder", "decoder"):
        config[f"{side}_layers"] = _layers(arrays, side)
        config[f"{side}_attention_heads"] = int(arrays[f"{side}/num_heads"])
        config[f"{side}_ffn_dim"] = len(arrays[f"{side}/layer_0/ffn/linear_0/weight"])
    return config


def _generation(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns what generation_config.json says: the same under the names of transformers."""
    names = {
        "alignment_heads": "alignment_heads",
        "suppress_ids": "suppress_tokens",
        "suppress_ids_begin": "begin_suppress_tokens",
    }
    return {theirs: settings[ours] for ours, theirs in names.items() if ours in settings}


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
