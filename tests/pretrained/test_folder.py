"""Folders to models and back: what does not fit is refused with the full list, before anything is written."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from attnjax.config import InputError
from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.families._decoder import read_kinds
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.safetensors_file import Written, read_safetensors, write_safetensors
from attnjax.pretrained.table import Entry, joined, parameters

CONFIG = LanguageModelConfig(
    dim=8,
    heads=2,
    kv_heads=1,
    hidden=12,
    layers=1,
    norm="rms",
    activation="swiglu",
    bias=False,
    embedding_scale=1.0,
)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def made(**changes) -> LanguageModel:
    return LanguageModel(dataclasses.replace(CONFIG, **changes), vocab=5, rngs=nnx.Rngs(0))


def rewrite(folder: Path, *, without: str = "", **tensors: np.ndarray) -> None:
    found = {name: np.array(x) for name, x in read_safetensors(folder / "model.safetensors").items()}
    found = {name: x for name, x in (found | tensors).items() if name != without}
    write_safetensors(
        folder / "model.safetensors",
        [Written(name, x.dtype, x.shape, lambda x=x: x) for name, x in found.items()],
    )


def configure(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))


@pytest.fixture
def folder(tmp_path) -> Path:
    save_pretrained(made(), tmp_path / "model", family="llama")
    return tmp_path / "model"


def test_a_model_of_ours_is_written_as_a_family_and_read_back(folder) -> None:
    model, found = made(), from_pretrained(folder)
    assert found.config.filled() == model.config.filled()
    for name, param in parameters(model).items():
        assert (parameters(found)[name][...] == param[...]).all()
    tokens = jnp.arange(4)[None]
    assert (found(tokens).logits == model(tokens).logits).all()
    assert nnx.merge(*nnx.split(found)).origin == found.origin


def test_a_setting_that_a_family_lacks_is_refused(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"model.positions is 'learned': a llama of such a config has 'rope'"
    ):
        save_pretrained(made(positions="learned"), tmp_path / "model", family="llama")
    with pytest.raises(InputError, match="family is None, and the model came from none"):
        save_pretrained(made(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_all_that_does_not_fit_is_listed(folder) -> None:
    rewrite(
        folder,
        without="model.norm.weight",
        strange=np.zeros(3, np.float32),
        **{
            "model.layers.0.mlp.up_proj.weight": np.zeros((8, 12), np.float32),
            "model.layers.0.mlp.down_proj.weight": np.zeros((8, 12), np.int64),
        },
    )
    with pytest.raises(InputError, match="does not fit the model in 4 places") as raised:
        from_pretrained(folder)
    for part in (
        "norm.scale: there is no tensor model.norm.weight",
        "model.strange: nothing reads it",
        "model.layers.0.mlp.up_proj.weight [8, 12]: expected [12, 8] for blocks.0.feed_forward.up.kernel",
        "model.layers.0.mlp.down_proj.weight is int64: expected floating point",
    ):
        assert part.replace("model.strange", "strange") in str(raised.value)


def test_a_table_uses_every_parameter_and_tensor_once_and_whole() -> None:
    params = parameters(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    half = Entry("both", "kernel", lambda x: x[:2], (4, 3))
    entries = [half, Entry("other", "kernel"), Entry("bias", "biass"), Entry("bias", "bias", at=2)]
    tensors = {"both": np.zeros((4, 3)), "other": np.zeros((2, 3)), "bias": np.zeros(2)}
    with pytest.raises(InputError, match="table does not fit the model in") as raised:
        joined(entries, params, tensors, "table")
    for part in (
        "kernel: several tensors fill it",
        "both: of its 12 numbers 6 are read",
        "bias: the model has no parameter biass",
        "bias[0]: no tensor fills it",
        "bias[2]: there is no such place",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "lama"}, "model_type = 'lama': expected one of .*; did you mean llama"),
        ({"magic": 3}, "has magic = 3, which may change the model: nobody here knows it"),
        ({"magic": None, "use_cache": False}, ""),
        ({"hidden_size": None}, "has no hidden_size"),
        ({"hidden_size": "8"}, "has hidden_size = '8': expected int"),
        ({"num_attention_heads": 0}, "has num_attention_heads = 0: expected 1 or more"),
        ({"vocab_size": -1}, "has vocab_size = -1: expected 1 or more"),
        ({"rope_parameters": "x"}, "has rope_parameters = 'x': expected dict"),
        (
            {"rope_parameters": {"rope_type": "linear", "factor": -2.0}},
            "has factor = -2.0: expected 1 or more",
        ),
        ({"model_type": None}, "has no model_type"),
        ({"hidden_act": "mish"}, "has hidden_act = 'mish': expected one of silu"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "rope_type = 'longrope'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_a_config_is_read_by_a_list_of_known_keys(changes, message, folder) -> None:
    configure(folder, **changes)
    if not message:
        from_pretrained(folder)
        return
    with pytest.raises(InputError, match=message):
        from_pretrained(folder)


def test_a_key_with_no_values_may_not_be_there() -> None:
    keys = Keys({"here": {"a": 1}}, "config.json")
    keys.only("not_here")
    with pytest.raises(InputError, match=r"config.json has here = {'a': 1}: expected no such key"):
        keys.only("here")


def test_each_layer_has_a_kind() -> None:
    keys = Keys({"layer_types": ["full_attention"]}, "config.json")
    assert read_kinds(keys, ["sliding_attention"]) == ["full_attention"]
    with pytest.raises(InputError, match=r"config\.json has 1 layer_types: expected 2, one of each layer"):
        read_kinds(keys, ["sliding_attention"] * 2)


def test_a_folder_that_is_none(tmp_path) -> None:
    with pytest.raises(InputError, match="is no folder: nothing is downloaded"):
        from_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match=r"has no config\.json"):
        from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        from_pretrained(tmp_path)


def test_the_head_is_tied_where_the_file_holds_no_other(folder, tmp_path) -> None:
    embedding = np.array(read_safetensors(folder / "model.safetensors")[EMBEDDING])
    rewrite(folder, without=HEAD)
    with pytest.raises(InputError, match=r"output.kernel: there is no tensor lm_head.weight"):
        from_pretrained(folder)
    configure(folder, tie_word_embeddings=True)
    assert from_pretrained(folder).output is None
    # A copy of the embedding is no other head, and is written again.
    rewrite(folder, **{HEAD: embedding})
    copied = from_pretrained(folder)
    assert copied.output is None
    save_pretrained(copied, tmp_path / "again")
    again = read_safetensors(tmp_path / "again" / "model.safetensors")
    assert (again[HEAD] == embedding).all()
    rewrite(folder, **{HEAD: embedding + 1})
    assert from_pretrained(folder).output is not None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_narrow_file_stays_narrow_and_can_be_widened(dtype, folder, tmp_path) -> None:
    narrow = {
        name: np.array(x).astype(jnp.dtype(dtype))
        for name, x in read_safetensors(folder / "model.safetensors").items()
    }
    rewrite(folder, **narrow)
    model = from_pretrained(folder)
    assert model.config.dtype == model.config.param_dtype == dtype
    save_pretrained(model, tmp_path / "again")
    again = read_safetensors(tmp_path / "again" / "model.safetensors")
    assert all(again[name].tobytes() == x.tobytes() for name, x in narrow.items())
    wide = from_pretrained(folder, dtype="float32")
    assert wide.config.dtype == "float32"
    kernel = parameters(wide)["blocks.0.feed_forward.up.kernel"][...]
    assert (np.asarray(kernel) == narrow["model.layers.0.mlp.up_proj.weight"].T.astype(np.float32)).all()


def test_a_number_that_a_dtype_lacks_is_refused(folder) -> None:
    rewrite(folder, **{"model.norm.weight": np.full(8, 1e6, np.float32)})
    with pytest.raises(InputError, match=r"model.norm.weight has numbers that float16 lacks"):
        from_pretrained(folder, dtype="float16")
    with pytest.raises(InputError, match="dtype 'int32': expected one of float32"):
        from_pretrained(folder, dtype="int32")
    with pytest.raises(InputError, match="jax_enable_x64"):
        from_pretrained(folder, dtype="float64")


def test_parameters_are_placed_as_a_function_of_axes_says(folder) -> None:
    mesh = Mesh(np.array(jax.devices()[:1]), ("model",))

    def place(axes, shape):
        return NamedSharding(mesh, PartitionSpec(*("model" if axis == "mlp" else None for axis in axes)))

    kernel = parameters(from_pretrained(folder, sharding=place))["blocks.0.feed_forward.up.kernel"][...]
    assert kernel.sharding.spec == PartitionSpec(None, "model")
    assert (kernel == parameters(from_pretrained(folder))["blocks.0.feed_forward.up.kernel"][...]).all()


def test_a_folder_with_other_weights_is_left_alone(folder, tmp_path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"has other weights, pytorch_model.bin"):
        save_pretrained(from_pretrained(folder), tmp_path)
    assert not (tmp_path / "config.json").exists()
