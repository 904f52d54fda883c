"""Mixers of tokens without attention, in its place: baselines."""

from typing import Any

from attnjax.mechanisms.base import ONE_SIZE, Layer, Paper
from attnjax.mechanisms.option import Option

_MAX_LENGTH = {
    "max_length": Option(512, "tokens that there are at most", least=1, of_model="max_length", holds=True)
}


def _row(name: str, made: str, formula: str, paper: Paper, **fields: Any) -> Layer:
    target = f"attnjax.nn.mixers:{made}"
    return Layer(name=name, target=target, formula=formula, paper=paper, has_weights=False, **fields)


ROWS = (
    _row(
        "fnet",
        "FourierMixing",
        "Re F_T(F_D(x)), Fourier transforms over tokens and channels; no parameters",
        Paper("Lee-Thorp et al.", 2021, "FNet: Mixing Tokens with Fourier Transforms", "2105.03824"),
        cost="O(T·log T·D), of padded or packed rows O(T²·D),",
        two_sided_only=True,
        streaming=False,
    ),
    _row(
        "gmlp",
        "GMLP",
        "O(u ⊙ (Σ_s w_ts v_s + b_t)), [u, v] = GELU(x U), v normed; w and b belong to places",
        Paper("Liu et al.", 2021, "Pay Attention to MLPs", "2105.08050"),
        cost="O(T²·D)",
        options={"expansion": Option(4, "width of u and of v together, in D", least=1), **_MAX_LENGTH},
    ),
    _row(
        "aft",
        "AFT",
        "σ(q_t) ⊙ Σ_s exp(k_s + a_t·b_s) ⊙ v_s / Σ_s exp(k_s + a_t·b_s), each channel by itself",
        Paper("Zhai et al.", 2021, "An Attention Free Transformer", "2105.14103"),
        cost="O(T²·D)",
        options={
            "rank": Option(64, "length of a and b, which belong to places; 0: AFT-simple", least=0),
            "window": Option(None, "tokens from which on a·b is 0, AFT-local; None: AFT-full", least=1),
            **_MAX_LENGTH,
        },
    ),
    _row(
        "hyena",
        "Hyena",
        "z_i = u_i ⊙ (h_i * z_{i-1} + b_i ⊙ z_{i-1}), filters h_i as long as the sequence; O z_n",
        Paper(
            "Poli et al.", 2023, "Hyena Hierarchy: Towards Larger Convolutional Language Models", "2302.10866"
        ),
        cost="O(T·log T·D), of packed rows O(T²·D),",
        causal_only=True,
        options={
            "order": Option(2, "n, gates", least=1),
            "width": Option(64, "width of the network that gives the filters", least=1),
            "bands": Option(4, "frequencies that it is given", least=1),
            "short": Option(3, "tokens that the short convolution takes in", least=1),
            **_MAX_LENGTH,
        },
    ),
    _row(
        "convolution",
        "SeparableConvolution",
        "O Σ_l w_l ⊙ x_{t-l} over the last `width` tokens; without order centred on t",
        Paper(
            "Kaiser et al.",
            2017,
            "Depthwise Separable Convolutions for Neural Machine Translation",
            "1706.03059",
        ),
        cost="O(T·width·D)",
        holds=ONE_SIZE,
        options={"width": Option(7, "tokens", least=1)},
    ),
)
