"""attnjax: attention research in JAX and Flax.

The names of the public contract are imported on first use, so that `import attnjax` and `attnjax --help`
answer before jax is loaded.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from attnjax.ops.attention import attention as attention
    from attnjax.ops.attention import attention_weights as attention_weights
    from attnjax.ops.comparing import matrix_attention as matrix_attention
    from attnjax.ops.comparing import vector_attention as vector_attention
    from attnjax.ops.comparisons import Comparison as Comparison
    from attnjax.ops.context.attention import context_attention as context_attention
    from attnjax.ops.context.attention import plan_context_attention as plan_context_attention
    from attnjax.ops.context.decode import context_decode as context_decode
    from attnjax.ops.context.layout import from_zigzag as from_zigzag
    from attnjax.ops.context.layout import to_zigzag as to_zigzag
    from attnjax.ops.context.recurrence import context_recurrence as context_recurrence
    from attnjax.ops.linear.attention import linear_attention as linear_attention
    from attnjax.ops.masks import Mask as Mask
    from attnjax.ops.masks import block_diagonal as block_diagonal
    from attnjax.ops.masks import blocks as blocks
    from attnjax.ops.masks import causal as causal
    from attnjax.ops.masks import chosen_blocks as chosen_blocks
    from attnjax.ops.masks import chunked_causal as chunked_causal
    from attnjax.ops.masks import dense as dense
    from attnjax.ops.masks import dilated as dilated
    from attnjax.ops.masks import global_tokens as global_tokens
    from attnjax.ops.masks import interval as interval
    from attnjax.ops.masks import lengths as lengths
    from attnjax.ops.masks import neighborhood as neighborhood
    from attnjax.ops.masks import predicate as predicate
    from attnjax.ops.masks import prefix as prefix
    from attnjax.ops.masks import random_blocks as random_blocks
    from attnjax.ops.masks import relabel as relabel
    from attnjax.ops.masks import segments as segments
    from attnjax.ops.masks import sliding_window as sliding_window
    from attnjax.ops.merge import merge_attention as merge_attention
    from attnjax.ops.normalizers import Normalizer as Normalizer
    from attnjax.ops.normalizers import cog as cog
    from attnjax.ops.normalizers import entmax as entmax
    from attnjax.ops.normalizers import sigmoid as sigmoid
    from attnjax.ops.normalizers import silu as silu
    from attnjax.ops.normalizers import softmax as softmax
    from attnjax.ops.normalizers import sparsemax as sparsemax
    from attnjax.ops.normalizers import squared_relu as squared_relu
    from attnjax.ops.normalizers import stick_breaking as stick_breaking
    from attnjax.ops.normalizers import talking_heads as talking_heads
    from attnjax.ops.plan import AttentionPlan as AttentionPlan
    from attnjax.ops.plan import plan_attention as plan_attention
    from attnjax.ops.positions import DynamicNTKScaling as DynamicNTKScaling
    from attnjax.ops.positions import LinearScaling as LinearScaling
    from attnjax.ops.positions import Llama3Scaling as Llama3Scaling
    from attnjax.ops.positions import RopeScaling as RopeScaling
    from attnjax.ops.positions import YarnScaling as YarnScaling
    from attnjax.ops.positions import alibi_slopes as alibi_slopes
    from attnjax.ops.positions import relative_buckets as relative_buckets
    from attnjax.ops.positions import rope as rope
    from attnjax.ops.positions import sinusoidal as sinusoidal
    from attnjax.ops.scores import Score as Score
    from attnjax.ops.scores import adaptive_span as adaptive_span
    from attnjax.ops.scores import alibi as alibi
    from attnjax.ops.scores import forget_gate as forget_gate
    from attnjax.ops.scores import pair_bias as pair_bias
    from attnjax.ops.scores import relative_bias as relative_bias
    from attnjax.ops.scores import score_fn as score_fn
    from attnjax.ops.scores import softcap as softcap
else:
    from attnjax.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
