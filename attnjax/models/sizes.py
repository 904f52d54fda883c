"""Models of equal size: as many parameters, and as many numbers for decoding to hold."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from attnjax.config import InputError, require
from attnjax.mechanisms import read
from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel

TOLERANCE = 0.01
"""By so large a share two models of equal size may differ in parameters."""


@dataclasses.dataclass(frozen=True)
class ModelSizes:
    """The sizes of a language model.

    Attributes:
      parameters: how many numbers are learned.
      cache: how many numbers one sequence's cache holds; None where there is no decoding token by token.
    """

    parameters: int
    cache: int | None


@functools.cache
def sizes(config: LanguageModelConfig, *, vocab: int, length: int) -> ModelSizes:
    """Returns the sizes of a language model; nothing is computed.

    Args:
      config: its shape.
      vocab: the number of tokens.
      length: the tokens of a sequence, for which a cache of keys and values has room.

    Raises:
      ValueError: There can be no such model.

    Example:
      >>> small = LanguageModelConfig(dim=8, heads=2, layers=1, positions="none")
      >>> sizes(small, vocab=5, length=10)  # Two caches, of keys and of values, of 10 tokens.
      ModelSizes(parameters=973, cache=160)
      >>> sizes(dataclasses.replace(small, mechanism="retention"), vocab=5, length=10)  # Two heads of 4·4.
      ModelSizes(parameters=977, cache=32)
    """
    streaming = all(part.row.streaming for choice in read(config.mechanism) for part in choice.parts)

    def made() -> tuple[nnx.State, object]:
        model = LanguageModel(config, vocab=vocab, rngs=nnx.Rngs(0))
        return nnx.state(model, nnx.Param), model.init_cache(1, length) if streaming else None

    params, cache = jax.eval_shape(made)
    held = [x.size for x in jax.tree.leaves(cache) if jnp.issubdtype(x.dtype, jnp.floating)]
    return ModelSizes(sum(x.size for x in jax.tree.leaves(params)), sum(held) if streaming else None)


def require_reads(config: LanguageModelConfig, length: int) -> None:
    """Raises InputError where the model of a config cannot read so many tokens; computes nothing.

    Example:
      >>> config = LanguageModelConfig(dim=8, heads=2, layers=1, mechanism="neighborhood", positions="none")
      >>> require_reads(config, 64)  # Its grid has 8 by 8 places.
      >>> require_reads(config, 65)  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      attnjax.config.InputError: neighborhood cannot read 65 tokens: ...
    """

    def read_all(tokens: jax.Array) -> jax.Array:
        return LanguageModel(_once(config), vocab=2, rngs=nnx.Rngs(0))(tokens).logits

    try:
        jax.eval_shape(read_all, jax.ShapeDtypeStruct((1, length), jnp.int32))
    except ValueError as error:
        raise InputError(f"{config.mechanism} cannot read {length} tokens: {error}") from None


def of_equal_size(
    config: LanguageModelConfig,
    like: LanguageModelConfig,
    head_dims: Sequence[int],
    *,
    vocab: int,
    length: int,
) -> LanguageModelConfig:
    """Returns a config whose model has the sizes of another one, as nearly as it can.

    Of the given sizes `head_dim` is the one with which the cache is nearest to that of the other model, the
    smaller of two that are as near. It stays where there is no cache, and is dim / heads for a layer that has
    no `head_dim`. `hidden` then makes the parameters equal, within 1 %; with what it cannot is not taken.

    Args:
      config: the shape to change; both have the same dim and the same feed-forward layers.
      like: the shape of the other model.
      head_dims: what to choose from.
      vocab: as in `sizes`.
      length: as in `sizes`.

    Raises:
      InputError: there can be no such model, or none with so few parameters.

    Example:
      >>> base = LanguageModelConfig(dim=16, heads=2, head_dim=8, hidden=64, positions="none")
      >>> gla = dataclasses.replace(base, mechanism="gla")
      >>> made = of_equal_size(gla, base, (4, 8, 16), vocab=9, length=16)
      >>> made.head_dim, made.hidden
      (16, 7)
      >>> sizes(base, vocab=9, length=16)
      ModelSizes(parameters=6889, cache=1024)
      >>> sizes(made, vocab=9, length=16)
      ModelSizes(parameters=6903, cache=1024)
    """
    rounds = len(read(config.mechanism))
    wanted = sizes(_once(like, rounds), vocab=vocab, length=length)
    wider = dataclasses.replace(_once(like, rounds), hidden=like.hidden_dim + 1)
    unit = sizes(wider, vocab=vocab, length=length).parameters - wanted.parameters
    found: list[tuple[int, LanguageModelConfig]] = []
    refused: Exception | None = None
    for head_dim in (*sorted(head_dims), None):
        if head_dim is None and found:
            break
        try:
            made = dataclasses.replace(config, head_dim=head_dim)
            own = sizes(_once(made), vocab=vocab, length=length)
            hidden = made.hidden_dim + round((wanted.parameters - own.parameters) / unit)
            require(
                hidden >= 1, f"with heads of {made.head_size} it has more parameters than there may be anyway"
            )
        except ValueError as error:
            refused = refused or error
            continue
        made = dataclasses.replace(made, hidden=hidden)
        if own.cache is None or wanted.cache is None:
            found.append((head_dim != config.head_dim, made))
            continue
        found.append((abs(own.cache - wanted.cache), made))
        if own.cache >= wanted.cache:
            break
    if not found:
        raise InputError(f"{config.mechanism}: {refused}")
    best = min(found, key=lambda pair: pair[0])[1]
    reached = sizes(_once(best), vocab=vocab, length=length).parameters
    require(
        abs(reached - wanted.parameters) <= TOLERANCE * wanted.parameters,
        f"{config.mechanism}: with feed-forward layers of {best.hidden} it has {reached} parameters, "
        f"not {wanted.parameters}",
    )
    return best


def _once(config: LanguageModelConfig, layers: int | None = None) -> LanguageModelConfig:
    """Returns the config with as few layers as have each of its mechanisms; the others are alike."""
    return dataclasses.replace(config, layers=min(config.layers, layers or len(read(config.mechanism))))
