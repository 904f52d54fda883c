"""The mechanisms that a model's config can name, and what they go with. Free of jax, as are the configs.

Tests hold them to `attnjax.ops.linear.members.catalogue.MEMBERS`.
"""

from typing import Literal

from attnjax.config import require

Mechanism = Literal[
    "softmax",
    "linear",
    "retention",
    "lightning",
    "simple_gla",
    "mamba2",
    "gla",
    "hgrn2",
    "rwkv6",
    "delta_net",
    "gated_delta_net",
    "kda",
    "delta_product",
    "rwkv7",
    "performer",
    "cosformer",
    "based",
    "rebased",
    "log_linear",
    "mesa",
    "gated_slot",
]

CausalMechanism = Literal[Mechanism, "window"]
"""What a decoder-only model can name too: softmax over the last few tokens."""

CAUSAL_ONLY = ("log_linear", "mesa", "gated_slot")
KEYS_ARE_GATES = ("hgrn2",)


def of_layer(mechanism: str) -> str:
    """The mechanism of the attention layer: a window is softmax under another mask.

    >>> of_layer("window"), of_layer("gla")
    ('softmax', 'gla')
    """
    return "softmax" if mechanism == "window" else mechanism


def require_mechanism_fits(mechanism: str, *, positions: str, qk_norm: bool) -> None:
    """Raises InputError for positions that act on scores, or what acts on keys, where there are none.

    >>> require_mechanism_fits("gla", positions="alibi", qk_norm=False)
    Traceback (most recent call last):
    attnjax.config.InputError: model.positions is 'alibi': it acts on scores, and gla has none
    """
    require(
        of_layer(mechanism) == "softmax" or positions not in ("alibi", "t5"),
        f"model.positions is {positions!r}: it acts on scores, and {mechanism} has none",
    )
    keys = mechanism not in KEYS_ARE_GATES
    require(
        keys or not positions.startswith("rope"),
        f"model.positions is {positions!r}: it rotates keys, and those of {mechanism} are gates; "
        "choose sinusoidal, learned or none",
    )
    require(keys or not qk_norm, f"model.qk_norm is True: the keys of {mechanism} are gates")
