"""Files of tensors: what is written is read back, what is damaged is refused in one line."""

import json
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.pretrained.safetensors_file import Written, read_safetensors, write_safetensors
from attnjax.pretrained.tensors import open_tensors

DTYPES = ("float32", "bfloat16", "float16", "float64", "int64", "bool")


def tensors() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=(3, i + 1)).astype(jnp.dtype(name)) for i, name in enumerate(DTYPES)}


def write(path: Path, given: dict[str, np.ndarray]) -> None:
    write_safetensors(path, [Written(name, x.dtype, x.shape, lambda x=x: x) for name, x in given.items()])


def put(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def place(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_what_is_written_is_read_bit_for_bit_and_by_the_library(tmp_path) -> None:
    given = tensors()
    write(tmp_path / "model.safetensors", given)
    found = open_tensors(tmp_path)
    for name, values in given.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        assert found[name].tobytes() == values.tobytes()
    library = pytest.importorskip("safetensors.numpy")
    theirs = library.load_file(tmp_path / "model.safetensors")
    assert all(theirs[name].tobytes() == values.tobytes() for name, values in given.items())
    library.save_file({"x": given["float32"]}, tmp_path / "theirs.safetensors")
    assert (read_safetensors(tmp_path / "theirs.safetensors")["x"] == given["float32"]).all()


@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        (b"", b"", 1 << 40, "announces a header of 1099511627776 bytes"),
        (b"{", b"", None, "its header is no JSON"),
        (b"\xff\xfe", b"", None, "its header is no JSON"),
        ([1], b"", None, "no JSON object"),
        (b'{"a": 1, "a": 2}', b"", None, "has 'a' twice"),
        ({"a": {"dtype": "F32", "shape": [2]}}, b"", None, "a lacks dtype, shape or data_offsets"),
        ({"a": place([-1], 0, 4)}, b"1234", None, "a lacks dtype, shape or data_offsets"),
        ({"a": place([1], 0, 4, "F3")}, b"1234", None, "a has dtype 'F3': expected one of"),
        (
            {"a": place([2], 0, 4)},
            b"1234",
            None,
            r"a \[2\] of F32 has 8 bytes, but its offsets \[0, 4\] hold 4",
        ),
        ({"a": place([1], 4, 0)}, b"1234", None, "hold -4"),
        ({"a": place([2], 0, 8)}, b"1234", None, "a ends at byte 8 of 4: the file is cut off"),
        ({"a": place([1], 0, 4), "b": place([1], 2, 6)}, b"123456", None, "b begins at byte 2 .* overlaps"),
        ({"a": place([1], 2, 6)}, b"123456", None, "leaves 2 bytes before it"),
        ({"a": place([1], 0, 4)}, b"123456", None, "has 2 bytes after its last tensor"),
    ],
)
def test_a_damaged_file_is_refused(header, data, length, message, tmp_path) -> None:
    put(tmp_path / "model.safetensors", header, data, length=length)
    with pytest.raises(InputError, match=message) as raised:
        open_tensors(tmp_path)
    assert "\n" not in str(raised.value)
    assert "model.safetensors" in str(raised.value)


def test_every_cut_of_a_file_is_refused(tmp_path) -> None:
    write(tmp_path / "model.safetensors", tensors())
    whole = (tmp_path / "model.safetensors").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(InputError):
            open_tensors(tmp_path)


def shards(folder: Path, places: dict[str, str], held: dict[str, list[str]]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    for file, names in held.items():
        write(folder / file, {name: np.full(2, len(name), np.float32) for name in names})


def test_shards_are_read(tmp_path) -> None:
    shards(
        tmp_path,
        {"a": "1.safetensors", "bb": "2.safetensors"},
        {"1.safetensors": ["a"], "2.safetensors": ["bb"]},
    )
    assert {name: x.tolist() for name, x in open_tensors(tmp_path).items()} == {"a": [1, 1], "bb": [2, 2]}


@pytest.mark.parametrize(
    ("places", "held", "message"),
    [
        ({"a": "../1.safetensors"}, {}, "names the file '../1.safetensors': expected one of its own folder"),
        ({"a": "1.safetensors"}, {}, "lacks 1.safetensors, which model.safetensors.index.json names"),
        (
            {"a": "1.safetensors", "b": "1.safetensors"},
            {"1.safetensors": ["a"]},
            "names b, which its files lack",
        ),
        ({"a": "1.safetensors"}, {"1.safetensors": ["a", "b"]}, "does not name b, which its files have"),
        (
            {"a": "1.safetensors", "b": "2.safetensors"},
            {"1.safetensors": ["a"], "2.safetensors": ["a", "b"]},
            "a is in 2.safetensors and in another shard",
        ),
    ],
)
def test_an_index_that_lies_is_refused(places, held, message, tmp_path) -> None:
    shards(tmp_path, places, held)
    with pytest.raises(InputError, match=message):
        open_tensors(tmp_path)


def test_a_folder_without_weights_says_what_it_has(tmp_path) -> None:
    (tmp_path / "weights.pkl").write_bytes(b"")
    with pytest.raises(InputError, match=r"has no model.safetensors.*it has weights.pkl, which are not read"):
        open_tensors(tmp_path)


class _Planted:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("planted"),)


def test_torch_files_are_read_and_pickles_of_more_refused(tmp_path, monkeypatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    given = {"a": torch.ones(2, 3), "b": torch.tensor([1.5, 2.5], dtype=torch.bfloat16)}
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save(given, path, **options)
        found = open_tensors(tmp_path)
        assert found["a"].tolist() == [[1] * 3] * 2
        assert (found["b"].dtype, found["b"].tolist()) == (jnp.bfloat16, [1.5, 2.5])
    torch.save({"a": _Planted()}, path)
    with pytest.raises(InputError, match=r"holds more than tensors, or is damaged, and is not read$"):
        open_tensors(tmp_path)
    assert not (tmp_path / "planted").exists()
    path.write_bytes(b"cut")
    with pytest.raises(InputError, match="holds more than tensors, or is damaged"):
        open_tensors(tmp_path)
    torch.save([1], path)
    with pytest.raises(InputError, match="something else than tensors by name"):
        open_tensors(tmp_path)
