"""The model's config: defaults, and every bad value named as the command line names it."""

import subprocess
import sys

import pytest

from attnjax.config import InputError
from attnjax.models.config import TransformerConfig


def test_defaults_are_filled_in() -> None:
    config = TransformerConfig(dim=96, heads=4)
    assert (config.head_size, config.hidden_dim) == (24, 384)
    config = TransformerConfig(heads=5, head_dim=6, hidden=100)
    assert (config.head_size, config.hidden_dim) == (6, 100)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 5}, r"^model.heads is 5: it must divide model.dim \(128\)$"),
        ({"kv_heads": 3}, r"^model.kv_heads is 3: it must divide model.heads \(4\)$"),
        ({"dim": 0}, "^model.dim is 0: it must be a whole number, 1 or more$"),
        ({"hidden": -1}, "^model.hidden is -1: it must be a whole number, 1 or more$"),
        ({"max_length": 1.5}, "^model.max_length is 1.5: it must be a whole number"),
        (
            {"positions": "rotary"},
            "^model.positions is 'rotary': it must be one of sinusoidal, sinusoidal_halves, learned,",
        ),
        (
            {"positions": "learned", "rope_base": 1e6},
            "^model.rope_base is 1000000.0: model.positions is 'learned', expected rope$",
        ),
        (
            {"rope_fraction": 0.35},
            r"^model.rope_fraction is 0.35: it must be in .* not 11 of 32$",
        ),
        (
            {"rope_factor": 2.0},
            "^model.rope_factor is 2.0: it must be above 1 with model.rope_",
        ),
        ({"rope_scaling": "ntk"}, "^model.rope_scaling is 'ntk': it must be one of linear, yarn, llama3$"),
        ({"output_gate": "all"}, "^model.output_gate is 'all': it must be one of elementwise, headwise$"),
        ({"norm_eps": -1.0}, "^model.norm_eps is -1.0: it must be 0 or more$"),
        ({"first_position": 2}, "^model.first_position is 2: it must be 0, or more with learned positions$"),
        (
            {"layer_scale": 0.1, "residual": "attention"},
            "^model.layer_scale is 0.1: it needs residual sum, got attention$",
        ),
        ({"attention_scale": 0.0}, "^model.attention_scale is 0.0: it must be above 0$"),
        (
            {"attention_scale": 1.0, "mechanism": "gla"},
            "^model.attention_scale is 1.0: gla has no such factor$",
        ),
        ({"frames": 0}, "^model.frames is 0: it must be a whole number, 1 or more$"),
        ({"frames": 80, "share_embeddings": True}, "^model.frames is 80: share_embeddings needs tokens$"),
        ({"tied_bias": True}, "^model.tied_bias is True, model.tied_scale 1.0: they need tie_embeddings$"),
        ({"norm": "batch"}, "^model.norm is 'batch': it must be one of layer, rms, rms_offset$"),
        ({"dtype": "int8"}, "^model.dtype is 'int8': it must be one of float32, bfloat16, float16, float64$"),
        ({"rope_original_length": 8}, "rope_original_length is 8: model.rope_scaling is None, expected yarn"),
        (
            {"rope_fast_turns": 8.0},
            "rope_fast_turns 8.0: model.rope_scaling is None, expected yarn or llama3",
        ),
        ({"positions": "none", "rope_slow_turns": 2.0}, "rope_slow_turns is 2.0: .* expected rope"),
        (
            {"implementation": "fast"},
            "^model.implementation is 'fast': it must be one of reference, blockwise$",
        ),
        (
            {"dim": 12},
            "^model.positions is 'rope': it needs an even head size, but model.dim / model.heads is 3$",
        ),
        (
            {"dim": 12, "positions": "rope_interleaved"},
            "^model.positions is 'rope_interleaved': it needs an even",
        ),
        (
            {"dim": 5, "heads": 1, "positions": "sinusoidal"},
            "^model.positions is 'sinusoidal': it needs an even",
        ),
        (
            {"mechanism": "gated_slo"},
            "^model.mechanism is 'gated_slo': unknown mechanism 'gated_slo'; did you mean gated_slot",
        ),
        (
            {"mechanism": "mesa"},
            "^model.mechanism is 'mesa': mesa is causal only, but an encoder reads both ways",
        ),
        ({"mechanism": "gla", "positions": "t5"}, "^model.positions is 't5': it acts on scores, and gla has"),
        (
            {"mechanism": "hgrn2"},
            "^model.positions is 'rope': it rotates keys, and those of hgrn2 are gates;",
        ),
        (
            {"mechanism": "hgrn2", "positions": "none", "qk_norm": True},
            "^model.qk_norm is True: the keys of hgrn2 are gates$",
        ),
    ],
)
def test_a_bad_value_is_one_clear_line(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransformerConfig(**fields)


def test_reading_a_config_does_not_load_jax() -> None:
    code = "import sys, attnjax.models.config; assert not {'jax', 'flax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
