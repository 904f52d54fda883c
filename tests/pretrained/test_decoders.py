"""Decoder-only families against transformers."""

import dataclasses

import jax
import pytest

from attnjax.models.config import LanguageModelConfig
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.tensors import open_tensors
from tests.pretrained.peers import (
    BIASED,
    BUGS,
    GATED,
    TOLERANCE,
    Case,
    Ours,
    answers,
    difference,
    transformers,
    uncaught,
)

DEFAULTS = {field.name: field.default for field in dataclasses.fields(LanguageModelConfig)}
UNSCALED = {name: x for name, x in DEFAULTS.items() if name.startswith("rope_") and name != "rope_base"}
NO_ROPE = UNSCALED | {"positions": "none", "rope_base": DEFAULTS["rope_base"]}
LLAMA = {"intermediate_size": 40, "num_key_value_heads": 2, "rms_norm_eps": 1e-3}
LLAMA_SETTINGS = {
    "no rope": NO_ROPE,
    "interleaved rope": {"positions": "rope_interleaved"},
    "other eps": {"norm_eps": 1e-6},
    "embedding scaled": {"embedding_scale": None},
}
CASES = {
    "gpt2": Case(
        "GPT2LMHeadModel",
        {"n_positions": 16, "layer_norm_epsilon": 1e-2},
        {
            "no positions": {"positions": "none"},
            "other eps": {"norm_eps": 1e-6},
            "embedding scaled": {"embedding_scale": None},
        },
        BUGS | BIASED,
        double=True,
    ),
    "llama": Case(
        "LlamaForCausalLM",
        LLAMA
        | {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 100.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            }
        },
        LLAMA_SETTINGS
        | {
            "no scaling of rope": UNSCALED,
        },
        BUGS | GATED,
    ),
}


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


@pytest.mark.parametrize("name", CASES)
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors of ragged rows, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    found, expected = Ours(model).answers(), answers(theirs)
    for one in (expected, answers(theirs, left=True)):
        size, where = difference(found, one)
        assert size <= TOLERANCE["float32"], where
    assert uncaught(case, tmp_path / "theirs", expected) == {}
    save_pretrained(model, tmp_path / "ours")
    before, after = (open_tensors(tmp_path / name) for name in ("theirs", "ours"))
    assert before.keys() == after.keys()
    for tensor, values in before.items():
        assert values.tobytes() == after[tensor].tobytes(), tensor
    again, loading = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(loading.values())
    assert difference(answers(again.eval()), expected)[0] == 0


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.double])
def test_family_in_double_precision(name: str, tmp_path) -> None:
    theirs = CASES[name].theirs("float64")
    theirs.save_pretrained(tmp_path)
    with jax.enable_x64(True):
        size, where = difference(Ours(from_pretrained(tmp_path)).answers(), answers(theirs))
    assert size <= TOLERANCE["float64"], where
