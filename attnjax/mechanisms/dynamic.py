"""Choices that a layer learns or makes by its inputs: how far heads look, and which of them speak."""

from attnjax.mechanisms.base import Layer, Mechanism, Paper, Recipe
from attnjax.mechanisms.option import Option

_NN = "attnjax.nn.dynamic"
_LOAD = Option(0.01, "what an uneven load costs in the loss", "float", least=0)

ROWS: tuple[Mechanism, ...] = (
    Recipe(
        name="adaptive_span",
        role="score",
        formula="s_ij + log clip((ramp + z_h - |i - j|) / ramp, 0, 1), a learned span z of each head",
        target=f"{_NN}.adaptive_span:LearnedSpan",
        paper=Paper("Sukhbaatar et al.", 2019, "Adaptive Attention Span in Transformers", "1905.07799"),
        of_layer=True,
        options={
            "longest": Option(512, "tokens that a span can reach", least=2, of_model="max_length"),
            "start": Option(1.0, "tokens of every span at first", "float", above=0),
            "ramp": Option(32.0, "tokens over which weights fall to 0", "float", above=0),
            "cost": Option(2e-6, "what a token of a layer's mean span costs in the loss", "float", least=0),
        },
    ),
    Recipe(
        name="output_gate",
        role="gate",
        formula="o_n ⊙ σ(x W_n), of each channel of each head or of each head",
        target=f"{_NN}.head_gates:output_gate",
        paper=Paper(
            "Qiu et al.",
            2025,
            "Gated Attention for Large Language Models: Non-linearity, Sparsity, and Attention-Sink-Free",
            "2505.06708",
        ),
        of_layer=True,
        options={"headwise": Option(False, "one gate for each head", "bool")},
    ),
    Recipe(
        name="mixture_of_heads",
        role="gate",
        formula="o_n·g_n, g a softmax of x W over the shared heads, and over the best of the others",
        target=f"{_NN}.head_gates:MixtureOfHeads",
        paper=Paper(
            "Jin et al.", 2024, "MoH: Multi-Head Attention as Mixture-of-Head Attention", "2410.11842"
        ),
        of_layer=True,
        heads_differ=True,
        options={
            "shared": Option(1, "heads that always speak, the first ones", least=0),
            "active": Option(None, "of the others those that speak; None: half", least=1),
            "cost": _LOAD,
        },
    ),
    Layer(
        name="mixture_of_attention",
        formula="Σ_e g_e·head_e(x) over the `active` best of N heads for each token, keys and values shared",
        target=f"{_NN}.mixture_of_attention:MixtureOfAttention",
        paper=Paper(
            "Zhang et al.",
            2022,
            "Mixture of Attention Heads: Selecting Attention Heads Per Token",
            "2210.05144",
        ),
        has_weights=False,
        options={
            "active": Option(None, "heads that each token is asked about by; None: half", least=1),
            "cost": _LOAD,
        },
    ),
    # Oracles: JetMoE's attention for mixture_of_attention; none for mixture_of_heads and mixture_of_depths,
    # of which transformers 5.23 has no module.
    Layer(
        name="mixture_of_depths",
        formula="r_t·f(x)_t for tokens of a high r_t = x_t·w + b, 0 for others; f is attention among them",
        target=f"{_NN}.mixture_of_depths:MixtureOfDepths",
        paper=Paper(
            "Raposo et al.",
            2024,
            "Mixture-of-Depths: Dynamically Allocating Compute in Transformer-Based Language Models",
            "2404.02258",
        ),
        cost="O((share·T)²·H) in training, else O(T²·H),",
        causal_only=True,
        has_weights=False,
        options={
            "share": Option(0.125, "of the tokens, chosen in training", "float", above=0, most=1),
            "cost": Option(0.01, "of the router's loss", "float", least=0),
            "hidden": Option(None, "width of a feed-forward layer in f; None: it has none", least=1),
        },
    ),
)
