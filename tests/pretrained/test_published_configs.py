"""Keys of published config.json files, which are others than those that transformers writes today."""

from collections.abc import Mapping
from typing import Any

import pytest

from attnjax.models.detr_config import ResNetConfig
from attnjax.pretrained.family import find
from attnjax.pretrained.keys import Keys

DEEPSEEK = {
    "attention_bias": False, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu",
    "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
    "max_position_embeddings": 163840, "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8,
    "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": True, "num_attention_heads": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06, "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
    "tie_word_embeddings": False, "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128,
    "vocab_size": 129280,
    "rope_scaling": {
        "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096, "type": "yarn",
    },
}  # fmt: skip
FULL = [4, 8, 12, 16, 20, 24, 27]
KIMI = {
    "first_k_dense_replace": 1, "head_dim": 72, "hidden_act": "silu", "hidden_size": 2304,
    "intermediate_size": 9216, "kv_lora_rank": 512, "mla_use_nope": True, "model_max_length": 1048576,
    "moe_intermediate_size": 1024, "moe_layer_freq": 1, "moe_renormalize": True,
    "moe_router_activation_func": "sigmoid", "num_attention_heads": 32, "num_expert_group": 1,
    "num_experts": 256, "num_experts_per_token": 8, "num_hidden_layers": 27, "num_key_value_heads": 32,
    "num_nextn_predict_layers": 0, "num_shared_experts": 1, "q_lora_rank": None, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
    "routed_scaling_factor": 2.446, "tie_word_embeddings": False, "topk_group": 1, "use_grouped_topk": True,
    "v_head_dim": 128, "vocab_size": 163840,
    "linear_attn_config": {
        "full_attn_layers": FULL, "kda_layers": [i for i in range(1, 28) if i not in FULL],
        "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4,
    },
}  # fmt: skip
QWEN = {
    "decoder_sparse_step": 1, "full_attention_interval": 4, "head_dim": 256, "hidden_act": "silu",
    "hidden_size": 2048, "intermediate_size": 5120, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
    "max_position_embeddings": 262144, "mlp_only_layers": [], "moe_intermediate_size": 512,
    "norm_topk_prob": True, "num_attention_heads": 16, "num_experts": 512, "num_experts_per_tok": 10,
    "num_hidden_layers": 48, "num_key_value_heads": 2, "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-06,
    "rope_scaling": None, "rope_theta": 10000000, "shared_expert_intermediate_size": 512,
    "tie_word_embeddings": False, "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
SWIN = {
    "depths": [2, 2, 6, 2], "drop_path_rate": 0.1, "embed_dim": 96, "encoder_stride": 32,
    "hidden_act": "gelu", "hidden_size": 768, "image_size": 224, "layer_norm_eps": 1e-05, "mlp_ratio": 4.0,
    "num_channels": 3, "num_heads": [3, 6, 12, 24], "num_layers": 4, "patch_size": 4, "path_norm": True,
    "qkv_bias": True, "use_absolute_embeddings": False, "window_size": 7,
}  # fmt: skip
DETR = {
    "activation_function": "relu", "auxiliary_loss": False, "backbone": "resnet101", "backbone_config": None,
    "bbox_cost": 5, "bbox_loss_coefficient": 5, "class_cost": 1, "d_model": 256,
    "decoder_attention_heads": 8, "decoder_ffn_dim": 2048, "decoder_layerdrop": 0.0, "decoder_layers": 6,
    "dice_loss_coefficient": 1, "dilation": False, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048,
    "encoder_layerdrop": 0.0, "encoder_layers": 6, "eos_coefficient": 0.1, "giou_cost": 2,
    "giou_loss_coefficient": 2, "id2label": {str(i): "N/A" for i in range(91)}, "init_std": 0.02,
    "init_xavier_std": 1.0, "is_encoder_decoder": True, "mask_loss_coefficient": 1,
    "max_position_embeddings": 1024, "num_channels": 3, "num_hidden_layers": 6, "num_queries": 100,
    "position_embedding_type": "sine", "scale_embedding": False, "use_pretrained_backbone": True,
    "use_timm_backbone": True,
}  # fmt: skip
CASES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "deepseek_v3": (
        DEEPSEEK,
        {
            "positions": "rope_interleaved",
            "rope_scaling": "yarn",
            "rope_original_length": 4096,
            "rope_amplitude": 1.0,
            "attention_scale": pytest.approx(192**-0.5 * 1.3688879**2),
            "shared_hidden": 2048,
            "dense_layers": 3,
        },
    ),
    "kimi_linear": (KIMI, {"positions": "none", "dense_layers": 1, "recurrent_gate_rank": 128}),
    "qwen3_next": (QWEN, {"rope_base": 1e7, "rope_fraction": 0.25, "shared_hidden": 512, "dense_layers": 0}),
    "swin": (SWIN, {"depths": (2, 2, 6, 2), "labels": None}),
    "detr": (DETR, {"labels": 91, "backbone": ResNetConfig(depths=(3, 4, 23, 3))}),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_read(name: str) -> None:
    raw, expected = CASES[name]
    keys = Keys(raw, "config.json")
    config, _ = find(name, "").read(keys, {})
    keys.finish()
    assert {field: getattr(config, field) for field in expected} == expected
    if name == "kimi_linear":
        layers = config.filled().mechanism.split(" + ")
        assert [i + 1 for i, layer in enumerate(layers) if layer.startswith("mla")] == FULL
