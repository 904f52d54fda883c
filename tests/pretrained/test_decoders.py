"""Decoder-only families against transformers."""

import dataclasses

import jax
import numpy as np
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
    every,
    transformers,
    turned,
    uncaught,
)

DEFAULTS = {field.name: field.default for field in dataclasses.fields(LanguageModelConfig)}
UNSCALED = {name: x for name, x in DEFAULTS.items() if name.startswith("rope_") and name != "rope_base"}
NO_ROPE = UNSCALED | {"positions": "none", "rope_base": DEFAULTS["rope_base"]}
LLAMA = {"intermediate_size": 40, "num_key_value_heads": 2, "rms_norm_eps": 0.1}
ROPE = {"rope_type": "default", "rope_theta": 100.0}
LLAMA_BUGS = {
    "no rope": NO_ROPE,
    "interleaved rope": {"positions": "rope_interleaved"},
    "other eps": {"norm_eps": 1e-6},
    "embedding scaled": {"embedding_scale": 24**0.5},
}
EPS = {"other eps": LLAMA_BUGS["other eps"]}
NO_WINDOW = {"window not seen": {"mechanism": "softmax"}}
GEMMA = LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 16, "sliding_window": 3}
GEMMA_BUGS = LLAMA_BUGS | {
    "embedding scaled": {"embedding_scale": 1.0},
    "gain without 1": {"norm": "rms"},
    "scale of heads": {"attention_scale": None},
    "gate of another kind": {"activation": "swiglu"},
}
EXPERTS = {
    "experts exchanged": every("feed_forward.up.kernel", lambda x: x[::-1]),
    "router not transposed": every("router.kernel", turned),
}
CASES = {
    "gpt2": Case(
        "GPT2LMHeadModel",
        {"n_positions": 16, "layer_norm_epsilon": 0.1},
        {
            "no positions": {"positions": "none"},
            "other eps": {"norm_eps": 1e-6},
            "embedding scaled": {"embedding_scale": None},
            "gelu without tanh": {"activation": "gelu_exact"},
        },
        BUGS | BIASED,
        double=True,
    ),
    "gpt_neox": Case(
        "GPTNeoXForCausalLM",
        {
            "intermediate_size": 40,
            "layer_norm_eps": 0.1,
            "num_attention_heads": 3,
            "rope_parameters": ROPE | {"partial_rotary_factor": 0.5},
        },
        {
            "one after the other": {"parallel": False},
            "rope of all": {"rope_fraction": 1.0},
            "other eps": {"norm_eps": 1e-6},
            "gelu by tanh": {"activation": "gelu"},
        },
        BUGS | BIASED,
    ),
    "llama": Case(
        "LlamaForCausalLM",
        LLAMA
        | {
            "rope_parameters": ROPE
            | {
                "rope_type": "llama3",
                "factor": 4.0,
                "original_max_position_embeddings": 16,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
            "attention_bias": True,
        },
        LLAMA_BUGS | {"no scaling of rope": UNSCALED},
        BUGS | GATED | BIASED,
    ),
    "qwen2": Case(
        "Qwen2ForCausalLM",
        LLAMA
        | {
            "use_sliding_window": True,
            "sliding_window": 3,
            "max_window_layers": 1,
            "tie_word_embeddings": True,
        },
        EPS | NO_WINDOW | {"windows exchanged": {"mechanism": "window(size=3) + softmax"}},
        BUGS | GATED | BIASED,
    ),
    "qwen3": Case(
        "Qwen3ForCausalLM",
        LLAMA | {"head_dim": 8},
        EPS | {"no norm of heads": {"qk_norm": False, "qk_norm_groups": None}},
        {name: bug for name, bug in BUGS.items() if name != "wrong scale"} | GATED,
    ),
    "mistral": Case(
        "MistralForCausalLM",
        LLAMA | {"sliding_window": 3},
        EPS | NO_WINDOW | {"window one too wide": {"mechanism": "window(size=4)"}},
        BUGS | GATED,
    ),
    "gemma2": Case(
        "Gemma2ForCausalLM",
        GEMMA | {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0},
        GEMMA_BUGS
        | {
            "logits not capped": {"logit_softcap": None},
            "scores not capped": {"mechanism": "window(size=3) + softmax"},
            "windows exchanged": {"mechanism": "softcap(c=3.0) + window(size=3) & softcap(c=3.0)"},
        },
        BUGS | GATED,
    ),
    "gemma3_text": Case(
        "Gemma3ForCausalLM",
        GEMMA
        | {
            "layer_types": ["full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
            },
        },
        EPS
        | {
            "no norm of heads": {"qk_norm": False},
            "one base of rope": {"rope_local_base": None},
            "no scaling of rope": {"rope_scaling": None, "rope_factor": 1.0},
        },
        {name: bug for name, bug in BUGS.items() if name != "wrong scale"} | GATED,
    ),
    "olmo2": Case(
        "Olmo2ForCausalLM",
        LLAMA,
        EPS
        | {
            "norms before": {"norm_placement": "pre"},
            "no norm of heads": {"qk_norm": False, "qk_norm_groups": None},
        },
        {name: bug for name, bug in BUGS.items() if name != "wrong scale"} | GATED,
    ),
    "mixtral": Case(
        "MixtralForCausalLM",
        LLAMA | {"num_local_experts": 3, "num_experts_per_tok": 2},
        EPS | {"one expert less": {"active_experts": 1}},
        BUGS | EXPERTS | GATED,
    ),
    "qwen3_moe": Case(
        "Qwen3MoeForCausalLM",
        LLAMA
        | {
            "head_dim": 8,
            "num_experts": 30,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 12,
            "norm_topk_prob": True,
        },
        EPS | {"one expert more": {"active_experts": 3}},
        {name: bug for name, bug in BUGS.items() if name != "wrong scale"} | EXPERTS,
    ),
    "gpt_oss": Case(
        "GptOssForCausalLM",
        LLAMA
        | {
            "head_dim": 8,
            "num_local_experts": 3,
            "num_experts_per_tok": 2,
            "sliding_window": 3,
            "rope_parameters": ROPE
            | {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 200,
                "beta_fast": 8.0,
                "beta_slow": 1.0,
                "truncate": False,
            },
        },
        EPS
        | {
            "no scaling of rope": UNSCALED,
            "whole pairs": {"rope_truncate": True},
            "gate not clipped": {"activation": "swiglu"},
            "no sink": {"mechanism": "window(size=3) + softmax"},
            "window not seen": {"mechanism": "sink"},
        },
        BUGS | BIASED | EXPERTS | {"no bias of experts": every("feed_forward.down.bias", np.zeros_like)},
    ),
    "phi3": Case(
        "Phi3ForCausalLM",
        LLAMA | {"sliding_window": 3, "pad_token_id": 0},
        EPS | NO_WINDOW,
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
