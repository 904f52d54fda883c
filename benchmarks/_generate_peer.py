"""Generation by transformers, in the process of `TorchPeer`, with random weights that a folder keeps."""

import functools
from pathlib import Path
from typing import Any

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2-124M": ("GPT2LMHeadModel", {"n_positions": 1024}),
    "llama-160M": (
        "LlamaForCausalLM",
        {
            "vocab_size": 32_000,
            "hidden_size": 768,
            "intermediate_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 12,
            "max_position_embeddings": 2048,
        },
    ),
    "gpt2-10M": (
        "GPT2LMHeadModel",
        {"vocab_size": 16_000, "n_embd": 256, "n_layer": 7, "n_head": 8, "n_positions": 1024},
    ),
}
"""The class and the config of each model; what is left out is as in transformers' own GPT-2 and Llama."""


def write_folder(shape: str, folder: str, dtype: str = "float32") -> None:
    """Writes a model with random weights as transformers does."""
    import torch
    import transformers

    name, fields = SHAPES[shape]
    made = getattr(transformers, name)
    torch.manual_seed(0)
    made(made.config_class(**fields)).to(getattr(torch, dtype)).save_pretrained(folder)


@functools.cache
def _model(folder: str, dtype: str) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def generation(spec: dict[str, Any]) -> Any:
    """Returns a function that continues prompts of 5s by so many tokens, and whose result is these."""
    import torch

    if not (Path(spec["folder"]) / "config.json").exists():
        write_folder(spec["shape"], spec["folder"])
    model = _model(spec["folder"], spec.get("dtype", "auto"))
    prompts = torch.full((spec["batch"], spec["prompt"]), 5)
    count = {"max_new_tokens": spec["tokens"], "min_new_tokens": spec["tokens"]}

    @torch.inference_mode()
    def run() -> Any:
        mask = torch.ones_like(prompts)
        return model.generate(prompts, attention_mask=mask, do_sample=False, pad_token_id=0, **count)

    return run
