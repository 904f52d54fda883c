"""Attention in images [*B, Y, X, D]: to channels, to places, in windows, along axes, to points."""

from typing import Any

from attnjax.mechanisms.base import Layer, Paper
from attnjax.mechanisms.option import Option

_REDUCTION = {"reduction": Option(16, "the network between has D/reduction numbers", least=1)}


def _row(name: str, made: str, formula: str, paper: Paper, cost: str, **fields: Any) -> Layer:
    fields.setdefault("has_weights", False)
    return Layer(
        name=name,
        target=f"attnjax.nn.spatial:{made}",
        formula=formula,
        paper=paper,
        cost=cost,
        takes="image",
        streaming=False,
        **fields,
    )


ROWS = (
    _row(
        "squeeze_excite",
        "SqueezeExcite",
        "x ⊙ σ(V ReLU(U mean(x))), a gate for each channel",
        Paper("Hu et al.", 2018, "Squeeze-and-Excitation Networks", "1709.01507"),
        "O(T·D)",
        options=_REDUCTION,
    ),
    _row(
        "cbam",
        "CBAM",
        "x' = x ⊙ σ(m(mean x) + m(max x)), then x' ⊙ σ(K * [mean_D x', max_D x'])",
        Paper("Woo et al.", 2018, "CBAM: Convolutional Block Attention Module", "1807.06521"),
        "O(T·(D + kernel²))",
        options={**_REDUCTION, "kernel": Option(7, "pixels along each side of K", least=1)},
    ),
    _row(
        "eca",
        "EfficientChannels",
        "x ⊙ σ(w * mean(x)), w over neighbouring channels",
        Paper(
            "Wang et al.",
            2020,
            "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
            "1910.03151",
        ),
        "O(T·D)",
        options={"kernel": Option(None, "channels, odd; None: the odd number near (log₂ D + 1)/2", least=1)},
    ),
    _row(
        "non_local",
        "NonLocal",
        "x_i + O Σ_j softmax_j(θ(x_i)·φ(x_j)) g(x_j), of half the width; O from 0",
        Paper("Wang et al.", 2018, "Non-local Neural Networks", "1711.07971"),
        "O(T²·H)",
        has_weights=True,
    ),
    _row(
        "swin_window",
        "WindowAttention",
        "softmax inside windows of size×size, from `shift` on, of q_i·k_j/√H + b[y_i - y_j, x_i - x_j]",
        Paper(
            "Liu et al.",
            2021,
            "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
            "2103.14030",
        ),
        "O(T·size²·H)",
        has_weights=True,
        options={
            "size": Option(7, "pixels along each side of a window", least=1),
            "shift": Option(0, "pixels by which the windows are shifted, below size", least=0),
        },
    ),
    _row(
        "neighborhood_window",
        "NeighborhoodAttention",
        "softmax over the window×window pixels nearest to each; at the edges the window moves inward",
        Paper("Hassani et al.", 2023, "Neighborhood Attention Transformer", "2204.07143"),
        "O(T·window²·H)",
        has_weights=True,
        options={"window": Option(7, "pixels along each side", least=1)},
    ),
    _row(
        "axial",
        "AxialAttention",
        "attention along the columns, then along the rows",
        Paper("Ho et al.", 2019, "Axial Attention in Multidimensional Transformers", "1912.12180"),
        "O(T·(X + Y)·H)",
    ),
    _row(
        "augmented_convolution",
        "AugmentedConvolution",
        "[K * x, O attention(x)], scores (q_i·k_j + q_i·r^X[x_j - x_i] + q_i·r^Y[y_j - y_i])/√H",
        Paper("Bello et al.", 2019, "Attention Augmented Convolutional Networks", "1904.09925"),
        "O(T²·H + T·kernel²·D²)",
        options={
            "key_dim": Option(None, "channels of queries and keys; None: D/2", least=1),
            "value_dim": Option(None, "channels that attention gives; None: D/2", least=1),
            "kernel": Option(3, "pixels along each side of K", least=1),
            "most": Option(32, "pixels along each side of an image at most", least=1),
        },
    ),
    _row(
        "deformable",
        "DeformableAttention",
        "O Σ_lp A_lp v_l(p_l + Δ_lp): bilinear samples of each level, where Δ and A are linear in x",
        Paper(
            "Zhu et al.",
            2021,
            "Deformable DETR: Deformable Transformers for End-to-End Object Detection",
            "2010.04159",
        ),
        "O(T·levels·points·H)",
        options={
            "points": Option(4, "points of each head and level", least=1),
            "levels": Option(1, "images that are read", least=1),
        },
    ),
)
