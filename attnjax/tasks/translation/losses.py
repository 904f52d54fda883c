"""The loss of a translator: of each next token, of attention beside given alignments, of reading again."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.config import InputError, require
from attnjax.data.text.config import TranslationData
from attnjax.data.text.tokenizer import PAD
from attnjax.mechanisms import over_layers, read
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.nn import Capture
from attnjax.nn.dropout import Dropout
from attnjax.ops.classic import coverage_loss
from attnjax.tasks.base import LossAndMetrics
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.tasks.translation.config import TranslationLoss

LEAST = 1e-18
"""The least weight that counts, as in OpenNMT-py: the loss of a token that is left out is finite."""


def translation_loss(
    model: Any,
    batch: Mapping[str, jax.Array],
    loss: TranslationLoss,
    *,
    label_smoothing: float | Float[Array, ""],
    dropout: Dropout | None,
) -> LossAndMetrics:
    """Returns the `smoothed_cross_entropy` of the target's tokens without padding, and what else costs.

    The loss of guided attention (`alignment_loss`) and that of coverage come times their weights, and as the
    metrics "alignment_loss" and "coverage_loss".

    Args:
      model: a `Transformer`, or a model with its methods.
      batch: arrays as `TextEncoder.arrays` gives them, and "alignment" where attention is guided.
      loss: the settings.
      label_smoothing: in place of that of the settings.
      dropout: of this step; None for none.
    """
    source, lengths = batch["source"], batch["source_lengths"]
    target, labels = batch["target"][:, :-1], batch["target"][:, 1:]
    counted, more = labels != PAD, {}
    if "target_segments" in batch:
        segments = batch["target_segments"]
        # After the end of one pair comes the beginning of the next.
        counted &= segments[:, :-1] == segments[:, 1:]
        more = {"segments": segments[:, :-1]}
    asked = Capture() if loss.lambda_align or loss.lambda_coverage else None
    output = model(source, lengths, target, dropout=dropout, capture=asked, **more)
    total, metrics = smoothed_cross_entropy(output.logits, labels, counted, label_smoothing)
    if loss.lambda_coverage:
        metrics["coverage_loss"] = coverage_loss(attention_to_source(output.weights, None), mask=counted)
        total = total + loss.lambda_coverage * metrics["coverage_loss"]
    if loss.lambda_align:
        if loss.full_context:
            memory = model.encode(source, lengths, dropout=dropout).memory
            whole = jnp.sum(target != PAD, axis=-1)
            given = {"source": source, "whole": whole, "dropout": dropout, "capture": Capture()}
            output = model.decode(target, memory, lengths, **given)
        weights = attention_to_source(output.weights, loss.align_layer)
        weights = weights.mean(1) if loss.align_head is None else weights[:, loss.align_head]
        metrics["alignment_loss"] = alignment_loss(weights, batch["alignment"], counted)
        total = total + loss.lambda_align * metrics["alignment_loss"]
    return total, metrics | {"loss": total}


def alignment_loss(
    weights: Float[Array, "B T S"], alignment: Float[Array, "B T S"], counted: Bool[Array, "B T"]
) -> Float[Array, ""]:
    """Returns the mean over the counted tokens of -Σ_j A_tj log a_tj; a token without alignment costs 0.

    Args:
      weights: a, the attention of each token to the source.
      alignment: A, whose rows sum to 1 or are 0.
      counted: the tokens that are no padding.

    References:
      Chen et al., Guided Alignment Training for Topic-Aware Neural Machine Translation, 2016,
      arXiv:1607.01628.
      Garg et al., Jointly Learning to Align and Translate with Transformer Models, 2019, arXiv:1909.02074
      (one head; the full context).

    Example:
      >>> weights, alignment = jnp.array([[[0.25, 0.75], [0.5, 0.5]]]), jnp.array([[[0.0, 1.0], [0.0, 0.0]]])
      >>> print(f"{alignment_loss(weights, alignment, jnp.ones((1, 2), bool)):.3f}")  # -log(0.75)/2
      0.144
    """
    costs = -jnp.sum(alignment * jnp.log(jnp.maximum(weights, LEAST)), axis=-1)
    return jnp.where(counted, costs, 0).sum() / jnp.maximum(counted.sum(), 1)


def require_fits(
    config: TransformerConfig | RecurrentConfig, loss: TranslationLoss, data: TranslationData
) -> None:
    """Raises InputError where the loss, the model and the data do not fit together."""
    for name in ("copy", "share_embeddings"):
        require(
            data.share_vocabulary or not getattr(config, name, False),
            f"model.{name} is True: it needs one vocabulary of both sides, data.share_vocabulary is False",
        )
    recurrent = isinstance(config, RecurrentConfig)
    layers = [_has_weights(config)] if isinstance(config, RecurrentConfig) else _weights_of_layers(config)
    for name, count in (("align_layer", len(layers)), ("align_head", config.heads)):
        number = getattr(loss, name)
        require(
            number is None or number < count,
            f"loss.{name} is {number}: the decoder has {count}, counted from 0",
        )
    guided = -1 if loss.align_layer is None else loss.align_layer
    for name, at in (("lambda_align", guided), ("lambda_coverage", -1)):
        require(
            not getattr(loss, name) or layers[at],
            f"loss.{name} is {getattr(loss, name)}: there are no attention weights to the source, "
            f"model.cross_mechanism is {config.cross_mechanism!r}",
        )
    if loss.full_context:
        hidden = recurrent or config.positions in ("alibi", "t5") or _one_sided(config)
        require(
            not hidden,
            "loss.full_context is True: it needs a Transformer whose self-attention can read both ways, with "
            "other positions than alibi and t5",
        )
    if loss.lambda_align and data.train is not None and data.alignment is None:
        raise InputError(
            f"loss.lambda_align is {loss.lambda_align}: data.alignment is None, expected a file with a line "
            "of word pairs (0-0 1-2) for each line of data.train"
        )
    moves = {
        "more": len(data.more) > 0,
        "tags": len(data.tags) > 0,
        "prefixes": len(data.prefixes) > 0,
        "noise.tokendrop": data.noise.tokendrop > 0,
        "bpe_dropout or data.unigram_alpha": data.regularised,
        "buckets, data.batch_tokens, data.packing, data.weights or data.on_disk": data.by_length,
    }
    if data.packing is not None:
        require_packs(config, data.packing)
    moved = [name for name, given in moves.items() if given]
    require(
        not loss.lambda_align or not moved,
        f"loss.lambda_align is {loss.lambda_align}: it comes with no data.{(moved or [''])[0]}, which "
        "puts tokens at other places than the alignment says",
    )


def require_packs(config: TransformerConfig | RecurrentConfig, width: int) -> None:
    """Raises InputError where a model cannot keep the pairs of a row of this width apart."""
    label = f"data.packing is {width}"
    require(
        isinstance(config, TransformerConfig),
        f"{label}: a recurrent model reads a row as one text, expected a Transformer",
    )
    assert isinstance(config, TransformerConfig)
    for name in ("mechanism", "cross_mechanism"):
        for part in (part for choice in read(getattr(config, name)) for part in choice.parts):
            apart = part.row.packs and not (name == "cross_mechanism" and part.row.kind == "layer")
            require(
                apart,
                f"{label}: model.{name} is {getattr(config, name)!r}, and {part.row.name} cannot keep pairs "
                "of one row apart",
            )
    require(
        config.positions != "learned" or width <= config.max_length,
        f"{label}: model.max_length is {config.max_length}, expected as many learned positions",
    )


def attention_to_source(weights: Mapping[str, Array], layer: int | None) -> Float[Array, "B N T S"]:
    """Returns the attention to the source of one of the decoder's layers, of the last one for None."""
    found = [w for path, w in weights.items() if path.endswith("cross_attention")]
    return found[-1 if layer is None else layer]


def _has_weights(config: RecurrentConfig) -> bool:
    return config.weights_of is not None


def _weights_of_layers(config: TransformerConfig) -> list[bool]:
    choices = over_layers(read(config.cross_mechanism), config.decoder_layers)
    return [all(part.row.has_weights for part in choice.parts) for choice in choices]


def _one_sided(config: Any) -> bool:
    return any(part.row.kind == "recurrence" for choice in read(config.mechanism) for part in choice.parts)
