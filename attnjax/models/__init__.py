"""Floor 3: named architectures, each with a frozen config dataclass in `config.py` (free of jax).

The names are imported on first use, so that reading a config does not load jax.
"""

import importlib
from typing import Any

_HOME = {
    "LanguageModelConfig": "attnjax.models.config",
    "TransformerConfig": "attnjax.models.config",
    "LanguageModel": "attnjax.models.language_model",
    "LanguageModelCache": "attnjax.models.language_model",
    "Transformer": "attnjax.models.encoder_decoder",
    "DecoderCache": "attnjax.models.encoder_decoder",
    "Encoded": "attnjax.models.output",
    "ModelOutput": "attnjax.models.output",
    "Decoded": "attnjax.models.decoding.greedy",
    "alignment": "attnjax.models.decoding.greedy",
    "greedy_decode": "attnjax.models.decoding.greedy",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attnjax.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
