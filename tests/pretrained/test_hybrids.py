"""Decoders of latent attention, recurrences and mixtures behind dense layers, against transformers."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.pretrained import from_pretrained
from attnjax.pretrained.folder import open_folder
from attnjax.pretrained.verify import first_of, verify
from tests.daily import daily
from tests.pretrained import peers
from tests.pretrained.bugs import Bug, Values, every, exchanged, turned
from tests.pretrained.peers import (
    LENGTHS,
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
from tests.pretrained.test_decoders import TOKENS, moved_right

load_file, save_file = (
    getattr(pytest.importorskip("safetensors.numpy"), name) for name in ("load_file", "save_file")
)
SIZES = {"intermediate_size": 40, "num_key_value_heads": 4, "rms_norm_eps": 0.1}
LATENT = {"kv_lora_rank": 10, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 5}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 8}
LATENT_BUGS = {
    "heads reversed": every("attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("attention.query.kernel", turned),
    "wrong scale": every("attention.query.kernel", lambda x: 1.1 * x),
    "no norm of the latent vector": every("compress_norm.scale", np.ones_like),
    "rotated key reversed": every("rope_key.kernel", lambda x: x[:, ::-1]),
    "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
}
MIXTURE_BUGS = {
    "gate and up exchanged": exchanged("feed_forward.gate.kernel", "feed_forward.up.kernel"),
    "experts exchanged": every("blocks.1.feed_forward.up.kernel", lambda x: x[::-1]),
    "no shared expert": every("shared.down.kernel", np.zeros_like),
}
CORRECTED = {"no correction": every("correction", np.zeros_like)}
RECURRENT_BUGS = {
    "taps reversed": every("convolutions.value.kernel", lambda x: x[::-1]),
    "no bias of decays": every("decay.step.up.bias", np.zeros_like),
    "one rate of decays": every("decay.rate.raw", np.zeros_like),
    "strengths of heads exchanged": every("strength.up.kernel", lambda x: x[:, ::-1]),
    "no norm of heads": every("attention.norm.scale", np.ones_like),
}
CASES = {
    "deepseek_v3": Case(
        "DeepseekV3ForCausalLM",
        SIZES
        | LATENT
        | EXPERTS
        | {
            "q_lora_rank": 12,
            "n_routed_experts": 8,
            "n_group": 4,
            "topk_group": 2,
            "n_shared_experts": 2,
            "first_k_dense_replace": 1,
            "attention_bias": True,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 100.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
                "mscale": 1.0,
                "mscale_all_dim": 0.5,
            },
        },
        {
            "rope of halves": {"positions": "rope"},
            "scale without YaRN": {"attention_scale": None},
            "amplitude of plain YaRN": {"rope_amplitude": None},
            "all groups": {"router_active_groups": 4},
            "weights not scaled": {"router_scale": 1.0},
            "weights not divided": {"router_sums_to_one": False},
            "softmax of experts": {"router_score": "softmax"},
            "one expert more": {"active_experts": 3},
        },
        LATENT_BUGS
        | MIXTURE_BUGS
        | CORRECTED
        | {"no bias of latent vectors": every("compress.bias", np.zeros_like)},
        every_day=True,
    ),
    "kimi_linear": Case(
        "KimiLinearForCausalLM",
        SIZES
        | LATENT
        | EXPERTS
        | {
            "num_hidden_layers": 3,
            "num_experts": 4,
            "linear_head_dim": 6,
            "linear_num_heads": 2,
            "linear_conv_kernel_dim": 3,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
            "pad_token_id": 0,
        },
        {
            "weights not scaled": {"router_scale": 1.0},
            "gate of another kind": {"recurrent_gate": "silu"},
            "eps of norms": {"norm_eps": 1e-6},
        },
        LATENT_BUGS | MIXTURE_BUGS | CORRECTED | RECURRENT_BUGS,
    ),
    "qwen3_next": Case(
        "Qwen3NextForCausalLM",
        SIZES
        | EXPERTS
        | {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "num_hidden_layers": 3,
            "num_experts": 4,
            "shared_expert_intermediate_size": 10,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 6,
            "linear_value_head_dim": 5,
            "linear_conv_kernel_dim": 3,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
            "mlp_only_layers": [0],
            "norm_topk_prob": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
        },
        {
            "rope of all": {"rope_fraction": 1.0},
            "no norm of heads": {"qk_norm": False},
            "gain without 1": {"norm": "rms"},
            "weights divided": {"router_sums_to_one": True},
        },
        MIXTURE_BUGS
        | RECURRENT_BUGS
        | {
            "heads reversed": every("attention.key.kernel", lambda x: x[:, ::-1]),
            "gates of heads exchanged": every("output_gate.up.kernel", lambda x: x[:, ::-1]),
            "values of heads exchanged": every("blocks.0.attention.value.kernel", lambda x: x[:, ::-1]),
            "no gate of the shared expert": every("shared_gate", np.zeros_like),
        },
    ),
    "qwen3_moe": Case(
        "Qwen3MoeForCausalLM",
        SIZES | EXPERTS | {"num_hidden_layers": 1, "head_dim": 8, "num_experts": 4, "norm_topk_prob": False},
        {"weights divided": {"router_sums_to_one": True}, "one expert less": {"active_experts": 1}},
        {"experts exchanged": every("feed_forward.up.kernel", lambda x: x[::-1])},
    ),
}


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
    layers = model.config.num_hidden_layers
    names = ["embedding", *(f"blocks.{i}" for i in range(layers - 1)), "norm"]
    found = {"logits": out.logits, **dict(zip(names, out.hidden_states, strict=True))}
    kinds = getattr(model.config, "layer_types", None) or ["full_attention"] * layers
    seen = [i for i, kind in enumerate(kinds) if kind == "full_attention"]
    found |= {f"blocks.{i}.attention": w for i, w in zip(seen, out.attentions, strict=True)}
    values = {name: x.double().numpy() for name, x in found.items()}
    if left:
        values = {name: moved_right(x) for name, x in values.items()}
    return {name: of_tokens(x) for name, x in values.items()}


class Hybrid(Ours):
    """A decoder of ours."""

    def answers(self, bug: Bug | None = None) -> Values:
        found = self.told(bug, TOKENS, lengths=np.array(LENGTHS))
        return {name: of_tokens(x) for name, x in found.items()}


def with_published_names(folder: Path) -> None:
    """Renames dense layers, which transformers 5.23 writes as if they were mixtures, and reads either way."""
    assert open_folder(folder).origin.renamed
    tensors = load_file(folder / "model.safetensors")
    dense = {name: re.sub(r"block_sparse_moe\.(\w+_proj)", r"mlp.\1", name) for name in tensors}
    save_file({dense[name]: x for name, x in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("name", daily(CASES, ["deepseek_v3", "qwen3_next"]))
def test_family(name: str, tmp_path) -> None:
    """Logits, attention and vectors of ragged rows, every bug, and the way back bit for bit."""
    case = CASES[name]
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    if name == "kimi_linear":
        with_published_names(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = Hybrid(model, vocab=VOCAB), answers(theirs)
    found = ours.answers()
    for one in (expected, answers(theirs, left=True)):
        size, where = difference(found, one)
        assert size <= TOLERANCE["float32"], where
    assert uncaught(ours, case, expected) == {}
    as_it_came, _ = saved(model, name, tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0
    if name == "qwen3_next" and peers.EVERYTHING:  # Some of its layers have no weights.
        assert first_of(verify(as_it_came)) is None
