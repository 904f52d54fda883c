"""Noise on token ids, for training only."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from attnjax.data.hosts import all_rows, host_share
from attnjax.data.text.config import TranslationData
from attnjax.data.text.encoder import Arrays, TextEncoder
from attnjax.data.text.tokenizer import BOS, EOS, PAD, SPECIALS, UNK

Tokens = Int32[np.ndarray, "B S"]


def word_dropout(tokens: Tokens, rate: float, seed: Sequence[int]) -> Tokens:
    """Returns the tokens with UNK, at probability `rate`, in the place of each but the padding.

    That is word dropout (Iyyer et al., 2015) with a stand-in. The seed says which tokens; nothing else has a
    part in it. A model that cannot count on every token relies less on the exact layout of texts it has seen.

    >>> word_dropout(np.array([[5, 6, 7, 8, 0]], np.int32), 0.5, [0, 2])
    array([[5, 3, 3, 3, 0]], dtype=int32)
    """
    drawn = np.random.default_rng(seed).random(_all(tokens), np.float32)
    chosen = host_share(drawn) < rate
    return np.where(chosen & (tokens != PAD), np.int32(UNK), tokens)


def tokenmask(tokens: Tokens, temperature: float, seed: Sequence[int], kept: Collection[int] = ()) -> Tokens:
    """Returns the tokens with UNK in the place of some of each row, as many as `counts` says.

    Args:
      tokens: with padding.
      temperature: τ, above 0.
      seed: says which tokens.
      kept: tokens that stay, besides marks and padding.

    Example:
      >>> tokenmask(np.array([[5, 6, 7, 8, 0]], np.int32), 2.0, [4])
      array([[3, 6, 3, 3, 0]], dtype=int32)
    """
    return np.where(_chosen(tokens, temperature, seed, kept), np.int32(UNK), tokens)


def tokendrop(tokens: Tokens, temperature: float, seed: Sequence[int], kept: Collection[int] = ()) -> Tokens:
    """Returns the tokens without some of each row, as many as `counts` says; the rest moves up.

    Example:
      >>> tokendrop(np.array([[5, 6, 7, 8, 0]], np.int32), 2.0, [4])
      array([[6, 0, 0, 0, 0]], dtype=int32)
    """
    chosen = _chosen(tokens, temperature, seed, kept)
    order = np.argsort(chosen | (tokens == PAD), axis=1, kind="stable")
    return np.take_along_axis(np.where(chosen, np.int32(PAD), tokens), order, axis=1)


def switchout(
    tokens: Tokens, temperature: float, seed: Sequence[int], vocab: int, kept: Collection[int] = ()
) -> Tokens:
    """Returns the tokens with others in the place of some of each row, as many as `counts` says.

    Each other token of the vocabulary is as likely, but for marks.

    References:
      Wang et al., SwitchOut, 2018, arXiv:1808.07512.

    Example:
      >>> switchout(np.array([[5, 6, 7, 8, 0]], np.int32), 2.0, [4], 20)
      array([[12,  6,  8, 15,  0]], dtype=int32)
    """
    chosen = _chosen(tokens, temperature, seed, kept)
    first, others = len(SPECIALS), vocab - len(SPECIALS)
    if others < 2:
        return tokens
    away = host_share(np.random.default_rng([*seed, 1]).integers(1, others, _all(tokens)))
    return np.where(chosen, first + (tokens - first + away) % others, tokens).astype(np.int32)


def counts(
    sizes: Int[np.ndarray, " B"], temperature: float, uniform: Float[np.ndarray, " B"]
) -> Int[np.ndarray, " B"]:
    """Returns a number k for each row of n tokens, 0 to n - 1, with probability ∝ exp(-k / temperature).

    Args:
      sizes: n of each row; a row of none gets 0.
      temperature: above 0.
      uniform: numbers in [0, 1), which decide.

    Example:
      >>> counts(np.array([4, 4, 0]), 1.0, np.array([0.0, 0.7, 0.9])).tolist()
      [0, 1, 0]
    """
    least = np.log1p(uniform * np.expm1(-sizes / temperature)) * -temperature
    return np.minimum(least.astype(np.int64), np.maximum(sizes - 1, 0))


def noised(batch: Arrays, data: TranslationData, encoder: TextEncoder, step: int) -> Arrays:
    """Returns a training batch of a step with the noise of `data`; tags and marks stay."""
    seed, noise = [data.seed, step, 0], data.noise
    source, target = batch["source"], batch["target"]
    kept = encoder.source.tag_ids
    if data.source_noise:
        source = word_dropout(source, data.source_noise, seed)
    if noise.tokendrop:
        source = tokendrop(source, noise.tokendrop, [*seed, 2], kept)
    if noise.tokenmask:
        source = tokenmask(source, noise.tokenmask, [*seed, 3], kept)
    if noise.switchout:
        source = switchout(source, noise.switchout, [*seed, 4], encoder.source.size, kept)
        target = switchout(target, noise.switchout, [*seed, 5], encoder.target.size)
    lengths = batch["source_lengths"]
    if noise.tokendrop:
        lengths = (source != PAD).sum(axis=1, dtype=lengths.dtype)
    return {**batch, "source": source, "source_lengths": lengths, "target": target}


def _chosen(
    tokens: Tokens, temperature: float, seed: Sequence[int], kept: Collection[int]
) -> Bool[np.ndarray, "B S"]:
    """Returns some places of each row, among those of its words."""
    rng = np.random.default_rng(seed)
    free = ~np.isin(tokens, [PAD, BOS, EOS, *kept])
    number = counts(free.sum(axis=1), temperature, host_share(rng.random(all_rows(len(tokens)))))
    drawn = np.where(free, host_share(rng.random(_all(tokens))), 2.0)
    ranks = np.argsort(np.argsort(drawn, axis=1), axis=1)
    return ranks < number[:, None]


def _all(tokens: Tokens) -> tuple[int, int]:
    """Returns the shape of the tokens of all hosts."""
    return all_rows(len(tokens)), tokens.shape[1]
