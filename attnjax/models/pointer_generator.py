"""Copies of source tokens in the output of an encoder-decoder."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.nn.classic.pointer import PointerGate
from attnjax.ops.classic import pointer_log_probs


class PointerGenerator(nnx.Module):
    """The mix of two distributions of the next token: that of the logits, and attention to the source.

    The gate between them is σ(w·x + b) of the vectors x that make the logits, as in OpenNMT-py. Rows of
    attention that do not sum to 1 make a mix that does not either; the log softmax that all readers of logits
    take makes it a distribution.

    Args:
      dim: D, the width of these vectors.
      source_vocab, target_vocab: numbers of tokens, which are of one vocabulary.
      options: dtype, param_dtype and rngs.

    Raises:
      ValueError: The numbers differ.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017, arXiv:1704.04368.
    """

    def __init__(self, dim: int, *, source_vocab: int | None, target_vocab: int, **options: Any) -> None:
        if source_vocab != target_vocab:
            raise ValueError(
                f"source_vocab {source_vocab}, target_vocab {target_vocab}: copies need one vocabulary"
            )
        self.gate = PointerGate(dim, **options)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        logits: Float[Array, "B T V"],
        weights: Float[Array, "B N T S"],
        source: Int[Array, "B S"],
    ) -> Float[Array, "B T V"]:
        """Returns the logarithms of the mix, with the mean of the attention's heads."""
        return pointer_log_probs(logits, weights.mean(1), self.gate(x), source)
