"""What families of all kinds share: names of activations, the tie of the head, entries of common layers."""

from collections.abc import Mapping

from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors, same

EMBEDDING = "embedding.tokens.embedding"
HEAD = "lm_head.weight"
GATED = {"silu": "swiglu", "swish": "swiglu", "gelu_pytorch_tanh": "geglu", "gelu": "geglu_exact"}
"""The activation of a gated feed-forward layer by that of its gate."""
UNGATED = {
    "gelu": "gelu_exact",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""The activation of a feed-forward layer without a gate."""


def name_of(ours: str, names: Mapping[str, str]) -> str:
    """Returns the first name on disk of what we call so, or what we call it where there is none."""
    return next((name for name, value in names.items() if value == ours), ours)


def tied(keys: Keys, tensors: Tensors, embedding: str, head: str = HEAD, *, default: bool = True) -> bool:
    """Returns True where the head is the embedding: the config says so, and no other head is on disk.

    Args:
      keys: of the config.json.
      tensors: on disk.
      embedding: the name of the embedding among them.
      head: the name of the head.
      default: what holds where the config does not say.
    """
    said: bool = keys.take("tie_word_embeddings", default)
    found = tensors.get(head)
    return said and (found is None or same(found, tensors.get(embedding)))


def linear(disk: str, ours: str, *, bias: bool = True) -> list[Entry]:
    """Returns the entries of a linear map."""
    return [Entry(f"{disk}.weight", f"{ours}.kernel"), *[Entry(f"{disk}.bias", f"{ours}.bias")] * bias]


def layer_norm(disk: str, ours: str) -> list[Entry]:
    """Returns the entries of gain and bias of a LayerNorm."""
    return [Entry(f"{disk}.weight", f"{ours}.scale"), Entry(f"{disk}.bias", f"{ours}.bias")]
