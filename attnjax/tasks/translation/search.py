"""The search for translations, in tiles of one shape: what a sentence gives does not depend on its batch."""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.beams import beams
from attnjax.models.decoding.generate import generate
from attnjax.models.decoding.loop import Strategy
from attnjax.models.decoding.required import Required
from attnjax.models.decoding.rules import Rules, rules
from attnjax.models.decoding.sampling import greedy, sampling
from attnjax.models.decoding.scoring import force
from attnjax.tasks.base import Params
from attnjax.tasks.inference import ROWS, in_batches
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.translation.alignment import Translation
from attnjax.tasks.translation.config import SearchConfig


def tile_rows() -> int:
    """Returns the sentences of a tile.

    XLA rounds products of other numbers of rows in other ways, so that a machine has one number. On a CPU a
    step takes nearly as long as a tile has rows: with few a single sentence does not wait for many that are
    none. Accelerators have room for many.
    """
    return 8 if jax.default_backend() == "cpu" else 32


class Found(NamedTuple):
    """The translations that were found for each sentence, the best first.

    Attributes:
      tokens: [B, N, L].
      counts: [B, N], tokens without the end mark.
      scores: [B, N], by which they are ranked; -inf for places that nothing took.
      log_probs: [B, N, L], of the tokens and of the end mark behind them, by forced decoding.
      alignment: [B, N, L, S], the last decoder layer's attention, the mean of its heads.
    """

    tokens: Int[Array, "B N L"]
    counts: Int[Array, "B N"]
    scores: Float[Array, "B N"]
    log_probs: Float[Array, "B N L"]
    alignment: Float[Array, "B N L S"]


def searched(
    task: ModelTask[Any],
    params: Params,
    arrays: Mapping[str, np.ndarray],
    search: SearchConfig,
    tokenizer: Tokenizer,
    max_length: int,
) -> Found:
    """Returns the translations that are found for sources, on the host.

    The arrays are "source" [B, S], or images or frames, "source_lengths" [B] and "seed" [B], of which a row's
    draws depend; and, where rows have constraints, "required_…" of `Required`.

    Args:
      task: the model's.
      params: of the model.
      arrays: of the sources.
      search: the settings.
      tokenizer: of the target.
      max_length: of the tokens to emit, the end mark included.
    """
    strategy, kept = strategy_of(search), rules_of(search, tokenizer)
    prefix = _ids(tokenizer, search.prefix)
    tile = tile_rows(), arrays["source"].shape[1]

    def search_in(params: Params, arrays: Mapping[str, Array]) -> tuple[Array, Array | None]:
        rows = len(arrays["source"])
        decoded = generate(
            task.model(params),
            arrays["source"],
            arrays["source_lengths"],
            strategy=strategy,
            rules=kept,
            prefix=jnp.broadcast_to(jnp.array(prefix, jnp.int32), (rows, len(prefix))) if prefix else None,
            key=jax.vmap(jax.random.key)(arrays["seed"]) if strategy.random else None,
            bos=BOS,
            eos=EOS,
            pad=PAD,
            max_length=max_length,
            tile=tile,
            required=_required(arrays),
        )
        return (decoded.tokens[:, None], None) if decoded.ranked is None else decoded.ranked

    share = -(-len(arrays["source"]) // (tile[0] * jax.process_count())) * tile[0]
    tokens, scores = in_batches(search_in, params, arrays, rows=min(share, ROWS))
    given = {name: arrays[name] for name in ("source", "source_lengths")}
    found: Found = task.infer(_scored, params, {**given, "tokens": tokens}, rows=tile[0])
    return found if scores is None else found._replace(scores=scores)


def _scored(model: Any, arrays: Mapping[str, Array]) -> Found:
    """Returns what forced decoding says of emitted "tokens" [B, N, L], their log probability as the score."""
    tokens = arrays["tokens"]
    _, several, max_length = tokens.shape
    ended = tokens == EOS
    counts = jnp.where(ended.any(-1), jnp.argmax(ended, axis=-1), max_length)
    source, lengths = (jnp.repeat(arrays[name], several, axis=0) for name in ("source", "source_lengths"))
    scored = jnp.minimum(counts + 1, max_length).reshape(-1)
    forced = force(model, source, lengths, tokens.reshape(-1, max_length), counts=scored, bos=BOS)
    log_probs = forced.log_probs.reshape(tokens.shape)
    assert forced.alignment is not None
    alignment = forced.alignment.reshape(*tokens.shape, -1)
    return Found(tokens, counts, log_probs.sum(-1), log_probs, alignment)


def row_seeds(rows: Sequence[Sequence[int]], seed: int, sample: int = 0) -> Int[np.ndarray, " B"]:
    """Returns a seed for each row of tokens, by the tokens, the seed and the number of the sample alone."""
    start = zlib.crc32(np.array([seed, sample], "<i8").tobytes())
    return np.array([zlib.crc32(np.array(row, "<i4").tobytes(), start) for row in rows], np.uint32)


def translation(
    text: str, found: Found, encoder: TextEncoder, search: SearchConfig, weights_of: str
) -> Translation:
    """Returns what was found for one text, whose row `found` is: the best translation, and others in it."""
    pieces, target = encoder.source.pieces(text), encoder.target
    ranked: dict[str, Translation] = {}
    for tokens, count, score, logs, weights in zip(*found, strict=True):
        emitted, scored = tokens[:count].tolist(), min(int(count) + 1, len(logs))
        seen = weights[:count, : len(pieces)]
        output = replaced(emitted, seen, pieces, target) if search.replace_unknown else target.decode(emitted)
        if ranked and (output in ranked or score == -np.inf):
            continue
        numbers = float(logs[:scored].sum()), float(score), tuple(logs[:scored].tolist())
        ranked[output] = Translation(output, pieces, target.names(emitted), seen, weights_of, *numbers)
    best, *others = list(ranked.values())[: search.n_best]
    return dataclasses.replace(best, others=tuple(others))


def replaced(
    tokens: Sequence[int], alignment: Float[np.ndarray, "L S"], pieces: Sequence[str], tokenizer: Tokenizer
) -> str:
    """Returns the text of tokens, each unknown one as the source piece that it looks at most.

    References:
      Luong et al., Addressing the Rare Word Problem, 2015, arXiv:1410.8206.
    """
    text, known = "", []
    for place, token in enumerate(tokens):
        if token != UNK or not pieces:
            known.append(token)
            continue
        text += tokenizer.decode(known) + pieces[int(np.argmax(alignment[place, : len(pieces)]))]
        known = []
    return text + tokenizer.decode(known)


def consensus(texts: Sequence[str]) -> int:
    """Returns the place of the text that is most like all of them: minimum Bayes risk with chrF.

    References:
      Eikema and Aziz, Sampling-Based Approximations to Minimum Bayes Risk Decoding, 2022, arXiv:2108.04718.

    Example:
      >>> consensus(["a cat", "the cat sat", "the cat sits", "no"])
      1
    """
    from attnjax.tasks.metrics.text import sentence_chrf

    distinct = list(dict.fromkeys(texts))
    counts = [texts.count(text) for text in distinct]
    gains = [
        sum(n * sentence_chrf(text, other) for other, n in zip(distinct, counts, strict=True))
        for text in distinct
    ]
    return texts.index(distinct[int(np.argmax(gains))])


def strategy_of(search: SearchConfig) -> Strategy:
    """Returns the strategy of a search."""
    if search.temperature is not None:
        return sampling(temperature=search.temperature)
    if search.beams == 1:
        return greedy()
    degree = {"none": 0.0, "average": 1.0, "gnmt": search.alpha}[search.length_penalty]
    coverage = None if search.coverage_penalty == "none" else search.coverage_penalty
    return beams(
        search.beams,
        length_penalty=degree,
        form="gnmt" if search.length_penalty == "gnmt" else "power",
        coverage=coverage,
        beta=search.beta,
        # Texts of other tokens may be the same: some are left in reserve.
        best=1 if search.n_best == 1 else min(search.beams, 2 * search.n_best),
        early="never",
    )


def _required(arrays: Mapping[str, Array]) -> Required | None:
    names = [f"required_{name}" for name in Required._fields]
    return Required(*(arrays[name] for name in names)) if names[0] in arrays else None


def rules_of(search: SearchConfig, tokenizer: Tokenizer) -> Rules:
    """Returns the rules of a search."""
    banned = [[PAD], [BOS], *([[UNK]] if search.ban_unknown else [])]
    banned += [ids for text in search.ban for ids in forms_of(tokenizer, text)]
    exempt = {token for text in search.block_except for ids in forms_of(tokenizer, text) for token in ids}
    return rules(
        min_length=search.min_length,
        max_length=search.max_length,
        min_ratio=search.min_ratio,
        max_ratio=search.max_ratio,
        block=search.block_ngrams,
        exempt=sorted(exempt),
        banned=banned,
    )


def forms_of(tokenizer: Tokenizer, text: str) -> list[list[int]]:
    """Returns the tokens of a text as it stands alone and behind a space, where these differ."""
    alone, behind = tokenizer.encode([text, f" {text}"])
    space = tokenizer.encode([" "])[0]
    forms = [alone] if behind[: len(space)] == space and behind[len(space) :] == alone else [alone, behind]
    return [form for form in forms if form]


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode([text])[0] if text else []


def weights_of(config: TransformerConfig) -> str:
    """Returns the layer and the heads whose weights `Found` has, in words."""
    layers, heads = config.decoder_layers, config.heads
    mean = f"the mean of its {heads} heads" if heads > 1 else "its only head"
    return f"cross-attention of decoder layer {layers} of {layers}, {mean}"
