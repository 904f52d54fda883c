"""Decoder-only families against transformers."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from attnjax.models.config import LanguageModelConfig
from attnjax.pretrained import from_pretrained
from tests.daily import daily
from tests.pretrained.bugs import BIASED, BUGS, GATED, Bug, Values, every, turned
from tests.pretrained.peers import (
    LENGTHS,
    LONGEST,
    MASK,
    TOLERANCE,
    VOCAB,
    Case,
    Ours,
    difference,
    loaded,
    moved_left,
    of_tokens,
    saved,
    torch,
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
        every_day=True,
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


TOKENS = np.random.default_rng(1).integers(0, VOCAB, MASK.shape)


def answers(model: Any, *, left: bool = False) -> Values:
    """What the model of transformers says of ragged rows, padded on either side; of padding NaN."""
    tokens, mask = moved_left(TOKENS, MASK) if left else (TOKENS, MASK)
    places = np.clip(np.cumsum(mask, 1) - 1, 0, None)
    with torch.no_grad():
        out = model(
            torch.tensor(tokens),
            attention_mask=torch.tensor(mask.astype(int)),
            position_ids=torch.tensor(places),
            output_attentions=True,
            output_hidden_states=True,
        )
    last = len(out.hidden_states) - 1
    names = ["embedding", *(f"blocks.{i}" for i in range(last - 1)), "norm"]
    found = {"logits": out.logits, **dict(zip(names, out.hidden_states, strict=True))}
    found |= {f"blocks.{i}.attention": w for i, w in enumerate(out.attentions)}
    values = {name: x.double().numpy() for name, x in found.items()}
    if left:
        values = {name: moved_right(x) for name, x in values.items()}
    return {name: of_tokens(x) for name, x in values.items()}


def moved_right(x: np.ndarray) -> np.ndarray:
    """Rows that were padded on the left, as if on the right; of attention both axes."""
    axes = (-2, -1) if x.ndim == 4 else -2
    return np.stack([np.roll(row, n - LONGEST, axes) for row, n in zip(x, LENGTHS, strict=True)])


class Decoder(Ours):
    """A decoder-only model of ours."""

    def answers(self, bug: Bug | None = None) -> Values:
        found = self.told(bug, TOKENS, lengths=np.array(LENGTHS))
        return {name: of_tokens(x) for name, x in found.items()}


# What has code of its own: learned positions, two norms in one, biases, windows and caps, experts, sinks, and
# tensors that hold several parameters.
FORMS = ("gpt2", "gpt_neox", "llama", "gemma2", "mixtral", "gpt_oss", "phi3")


@pytest.mark.parametrize("name", daily(CASES, FORMS))
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors of ragged rows, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = Decoder(model, vocab=VOCAB), answers(theirs)
    found = ours.answers()
    for one in (expected, answers(theirs, left=True)):
        size, where = difference(found, one)
        assert size <= TOLERANCE["float32"], where
    assert uncaught(ours, case, expected) == {}
    as_it_came, _ = saved(model, name, tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0


def test_a_share_of_1_is_written_where_the_family_has_another_by_default(tmp_path) -> None:
    fields = CASES["gpt_neox"].fields | {"rope_parameters": ROPE | {"partial_rotary_factor": 1.0}}
    Case("GPTNeoXForCausalLM", fields).theirs().save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    assert model.config.rope_fraction == 1
    saved(model, "gpt_neox", tmp_path / "theirs", tmp_path)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.double])
def test_family_in_double_precision(name: str, tmp_path) -> None:
    theirs = CASES[name].theirs("float64")
    theirs.save_pretrained(tmp_path)
    with jax.enable_x64(True):
        size, where = difference(Decoder(from_pretrained(tmp_path)).answers(), answers(theirs))
    assert size <= TOLERANCE["float64"], where
