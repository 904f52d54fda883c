"""Softmax attention itself; `recipes` change its parts."""

from attnjax.mechanisms.base import Mechanism, Paper

ROWS = (
    Mechanism(
        name="softmax",
        formula="o_t = Σ_j softmax_j(q_t·k_j/√H) v_j",
        target="attnjax.ops.attention:attention",
        paper=Paper("Vaswani et al.", 2017, "Attention Is All You Need", "1706.03762"),
    ),
)
