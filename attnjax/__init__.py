"""attnjax: attention research in JAX and Flax.

The names of the public contract are imported on first use, so that `import attnjax` and `attnjax --help`
answer before jax is loaded.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(
        ("attention", "attention_weights", "merge_attention", "plan_attention"), "attnjax.ops.attention"
    ),
    **dict.fromkeys(
        (
            "causal",
            "sliding_window",
            "prefix",
            "lengths",
            "segments",
            "interval",
            "block_diagonal",
            "blocks",
            "chunked_causal",
            "dilated",
            "global_tokens",
            "random_blocks",
            "neighborhood",
            "relabel",
            "dense",
            "predicate",
        ),
        "attnjax.ops.masks",
    ),
    **dict.fromkeys(
        ("alibi", "softcap", "relative_bias", "forget_gate", "pair_bias", "score_fn"), "attnjax.ops.scores"
    ),
    "linear_attention": "attnjax.ops.linear.attention",
    **dict.fromkeys(("softmax", "sigmoid", "sparsemax", "entmax"), "attnjax.ops.normalizers"),
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attnjax' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
