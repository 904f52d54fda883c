"""Parts of softmax attention: masks, scores and normalisers, which a config joins by &.

A function is given its options and, where it has parameters of these names, `offset` (the position of the
first query), `causal`, `queries`, `keys` and `heads`. Masks are those of tokens that see each other; a causal
model takes away what lies ahead.
"""

from typing import Any

from attnjax.mechanisms.base import Paper, Recipe
from attnjax.mechanisms.option import Option

_PLACE = "attnjax.nn.attention.recipes"
_SIZE = {"size": Option(16, "tokens of a block", least=1)}
_SEED = {"seed": Option(0, "decides what is drawn", least=0)}
_LONGFORMER = Paper("Beltagy et al.", 2020, "Longformer: The Long-Document Transformer", "2004.05150")
_BIGBIRD = Paper("Zaheer et al.", 2020, "Big Bird: Transformers for Longer Sequences", "2007.14062")


def _mask(name: str, formula: str, paper: Paper | None, target: str = "", **fields: Any) -> Recipe:
    return Recipe(
        name=name, role="mask", formula=formula, paper=paper, target=target or f"{_PLACE}:{name}", **fields
    )


MASKS = (
    _mask(
        "window",
        "token i sees the last `size` tokens, itself among them; without order as many on either side",
        _LONGFORMER,
        options={"size": Option(16, "tokens, the reading one included", least=1)},
        cost="O(T·size·H)",
        holds="a cache of a window's keys and values",
        drawn={"size": 4},
    ),
    _mask(
        "dilated",
        "token i sees every `step`-th token from itself",
        Paper("Child et al.", 2019, "Generating Long Sequences with Sparse Transformers", "1904.10509"),
        "attnjax.ops.masks:dilated",
        options={"step": Option(2, "tokens from one that is seen to the next", least=1)},
        drawn={"step": 3},
    ),
    _mask(
        "block_diagonal",
        "tokens see each other inside blocks of `size`",
        Paper("Qiu et al.", 2019, "Blockwise Self-Attention for Long Document Understanding", "1911.02972"),
        "attnjax.ops.masks:block_diagonal",
        options=_SIZE,
        cost="O(T·size·H)",
        drawn={"size": 4},
    ),
    _mask(
        "chunked_causal",
        "token i sees the tokens of its block of `size` up to itself",
        Paper("Meta", 2025, "The Llama 4 herd"),
        "attnjax.ops.masks:chunked_causal",
        options=_SIZE,
        cost="O(T·size·H)",
        causal_only=True,
        drawn={"size": 4},
    ),
    _mask(
        "global_tokens",
        "the first `count` tokens see all and are seen by all; the others see nothing else",
        _LONGFORMER,
        options={"count": Option(1, "tokens", least=1)},
        cost="O(T·count·H)",
        drawn={"count": 2},
    ),
    _mask(
        "longformer",
        "window, and the first `tokens` tokens see all and are seen by all",
        _LONGFORMER,
        options={
            "size": Option(16, "tokens of the window, the reading one included", least=1),
            "tokens": Option(1, "tokens that see all", least=1),
        },
        cost="O(T·(size+tokens)·H)",
        drawn={"size": 3, "tokens": 1},
    ),
    _mask(
        "random_blocks",
        "each block of `size` tokens sees `count` random blocks; in causal models of those up to itself",
        _BIGBIRD,
        options={**_SIZE, "count": Option(2, "blocks", least=1), **_SEED},
        cost="O(T·size·count·H)",
        drawn={"size": 2, "count": 2},
    ),
    _mask(
        "bigbird",
        "blocks of `size` see `near` blocks on either side, `count` random ones and the first `first`, which "
        "see all",
        _BIGBIRD,
        options={
            **_SIZE,
            "near": Option(1, "blocks on either side", least=0),
            "count": Option(2, "random blocks", least=0),
            "first": Option(1, "blocks that see all", least=0),
            **_SEED,
        },
        cost="O(T·size·(2·near+count+first)·H)",
        drawn={"size": 2, "count": 1},
    ),
    _mask(
        "strided",
        "token i sees the last `size` tokens, itself among them, and every `size`-th token from itself",
        Paper("Child et al.", 2019, "Generating Long Sequences with Sparse Transformers", "1904.10509"),
        options={"size": Option(16, "tokens of the window, and from one far token to the next", least=1)},
        cost="O(T·(size+T/size)·H)",
        drawn={"size": 3},
    ),
    _mask(
        "prefix",
        "the first `size` tokens are seen by all; a loss on them says nothing",
        Paper(
            "Raffel et al.",
            2020,
            "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
            "1910.10683",
        ),
        options={"size": Option(16, "tokens that see each other", least=1)},
        streaming=False,
        widens=True,
        drawn={"size": 4},
    ),
    _mask(
        "neighborhood",
        "tokens of a grid see their `window` nearest along every axis",
        Paper("Hassani et al.", 2022, "Neighborhood Attention Transformer", "2204.07143"),
        "attnjax.ops.masks:neighborhood",
        options={
            "shape": Option(
                (8, 8), "rows, columns, … of the tokens, all of which there are", "ints", least=1
            ),
            "window": Option((3, 3), "tokens along every axis", "ints", least=1),
        },
        cost="O(T·window·H)",
        streaming=False,
        drawn={"shape": (4, 4), "window": (3, 3)},
    ),
)

SCORES = (
    Recipe(
        name="alibi",
        heads_differ=True,
        role="score",
        formula="s_ij - slope_h·|i - j|",
        target=f"{_PLACE}:alibi",
        paper=Paper(
            "Press et al.",
            2022,
            "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation",
            "2108.12409",
        ),
    ),
    Recipe(
        name="relative_bias",
        role="score",
        formula="s_ij + b[bucket(j - i), h], a learned table of every layer",
        target=f"{_PLACE}:LearnedRelativeBias",
        paper=Paper(
            "Raffel et al.",
            2020,
            "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
            "1910.10683",
        ),
        of_layer=True,
        options={
            "buckets": Option(32, "rows of the table", least=4),
            "max_distance": Option(128, "tokens from which on all are in the last bucket", least=4),
        },
    ),
    Recipe(
        name="softcap",
        role="score",
        formula="c·tanh(s_ij/c)",
        target="attnjax.ops.scores:softcap",
        paper=Paper(
            "Gemma Team", 2024, "Gemma 2: Improving Open Language Models at a Practical Size", "2408.00118"
        ),
        options={"c": Option(50.0, "scores stay inside (-c, c)", "float", above=0)},
    ),
    Recipe(
        name="forget_gate",
        role="score",
        formula="s_ij + Σ_{l=j+1..i} log f_l, f = σ(x W + b) of each head",
        target=f"{_PLACE}:LearnedForgetGate",
        paper=Paper(
            "Lin et al.", 2025, "Forgetting Transformer: Softmax Attention with a Forget Gate", "2503.02130"
        ),
        of_layer=True,
        causal_only=True,
    ),
)

NORMALIZERS = (
    Recipe(
        name="sink",
        role="normalizer",
        formula="exp(s_ij) / (exp(sink_h) + Σ_j exp(s_ij)), a learned logit of each head",
        target=f"{_PLACE}:LearnedSink",
        paper=Paper(
            "Xiao et al.", 2023, "Efficient Streaming Language Models with Attention Sinks", "2309.17453"
        ),
        of_layer=True,
    ),
    Recipe(
        name="sigmoid",
        role="normalizer",
        formula="σ(s_ij + bias), each pair on its own",
        target=f"{_PLACE}:sigmoid",
        paper=Paper(
            "Ramapuram et al.",
            2024,
            "Theory, Analysis, and Best Practices for Sigmoid Self-Attention",
            "2409.04431",
        ),
        options={
            "bias": Option(None, "None: -log(max_length)", "float"),
            "max_length": Option(4096, "tokens that there are at most", least=1, of_model="max_length"),
        },
    ),
    Recipe(
        name="sparsemax",
        role="normalizer",
        formula="the point of the simplex nearest to the scores",
        target="attnjax.ops.normalizers:sparsemax",
        paper=Paper(
            "Martins & Astudillo",
            2016,
            "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification",
            "1602.02068",
        ),
    ),
    Recipe(
        name="entmax",
        role="normalizer",
        formula="[(α-1)s_ij - τ_i]₊^(1/(α-1)): α → 1 is softmax, α = 2 sparsemax",
        target="attnjax.ops.normalizers:entmax",
        paper=Paper("Peters et al.", 2019, "Sparse Sequence-to-Sequence Models", "1905.05702"),
        options={"alpha": Option(1.5, "α", "float", above=1, most=4)},
    ),
    Recipe(
        name="learned_entmax",
        role="normalizer",
        formula="entmax with a learned α of each head, between 1.01 and 2",
        target=f"{_PLACE}:LearnedEntmax",
        paper=Paper("Correia et al.", 2019, "Adaptively Sparse Transformers", "1909.00015"),
        of_layer=True,
    ),
    Recipe(
        name="top_k",
        role="normalizer",
        formula="softmax over the `count` highest scores s_ij of a row, the others weigh 0",
        target="attnjax.ops.normalizers:top_k",
        paper=Paper(
            "Zhao et al.",
            2019,
            "Explicit Sparse Transformer: Concentrated Attention Through Explicit Selection",
            "1912.11637",
        ),
        options={"count": Option(16, "scores", least=1)},
    ),
)

ROWS = (*MASKS, *SCORES, *NORMALIZERS)

NOT_IN_A_CONFIG = {
    "causal": "the models set it: a decoder is causal, an encoder is not",
    "lengths": "takes the lengths of rows, which come with a batch; the models give it",
    "segments": "takes the ids of packed documents, which come with a batch",
    "interval": "takes the ends of what each query sees, which come with a batch",
    "dense": "takes an array for all pairs, which comes with a batch",
    "blocks": "takes an array of blocks, computed from a batch; bigbird and random_blocks draw one",
    "chosen_blocks": "takes lists of blocks, computed from a batch; nsa and moba choose them",
    "relabel": "takes the positions of tokens, which come with a batch",
    "predicate": "takes a function: register one of your own as a mask",
    "matrix_attention": "compares vectors, without values: the comparisons themselves are rows",
    "vector_attention": "weighs the keys of one query: the comparisons themselves are rows",
    "score_fn": "takes a function: register one of your own as a score",
    "pair_bias": "takes an array for all pairs, which comes with a batch",
    "context_attention": "a mesh that splits sequences has layers call it",
    "context_recurrence": "a mesh that splits sequences has layers call it",
    "context_decode": "takes a cache in shards on a mesh",
    "plan_context_attention": "tells what context_attention does",
    "merge_attention": "joins parts of one attention over devices or chunks; no mechanism",
}
"""The reasons for which the other public primitives have no row."""
