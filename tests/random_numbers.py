"""Random numbers of every shape from programs of few sizes: tests draw in hundreds of shapes.

To compile a draw takes 60 milliseconds. With jax's default generator a number depends on the key and on its
place in the flat array alone: what is cut out is bit for bit what jax draws. Inside of traces jax draws.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import core, random

DRAWS = ("normal", "uniform", "truncated_normal", "randint", "bernoulli")
LARGEST = 2**14
"""Of the arrays that are cut out of larger ones."""


@contextmanager
def drawn_in_few_sizes() -> Iterator[None]:
    """Draws of jax.random are cut out of larger ones."""
    before = {name: getattr(jax.random, name) for name in DRAWS}
    try:
        for name, draw in before.items():
            _put(name, _in_few_sizes(draw))
        yield
    finally:
        for name, draw in before.items():
            _put(name, draw)


def _put(name: str, draw: Callable[..., jax.Array]) -> None:
    setattr(jax.random, name, draw)
    setattr(random, name, draw)  # By which initializers know it.


def _in_few_sizes(draw: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    signature = inspect.signature(draw)

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> jax.Array:
        given = signature.bind(*args, **kwargs)
        shape = given.arguments.get("shape")
        if not (isinstance(shape, tuple | list) and all(isinstance(n, int) for n in shape)):
            return draw(*args, **kwargs)
        size, others = (
            math.prod(shape),
            [x for n, x in given.arguments.items() if n not in ("shape", "dtype")],
        )
        if not 0 < size <= LARGEST or not _nothing_is_set() or not all(map(_is_plain, others)):
            return draw(*args, **kwargs)
        given.arguments["shape"] = (max(64, 1 << (size - 1).bit_length()),)
        flat = np.asarray(draw(*given.args, **given.kwargs))
        return jax.device_put(flat[:size].reshape(shape), may_alias=False)

    return drawn


def _is_plain(x: Any) -> bool:
    """A number, an option, or a key that lies where jax puts it."""
    if isinstance(x, jax.core.Tracer):
        return False
    if isinstance(x, jax.Array):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return x.shape == (() if is_key else (2,)) and not x.committed
    return not isinstance(x, np.ndarray)


def _nothing_is_set() -> bool:
    """No trace, no mesh, and the generator whose numbers do not depend on the shape."""
    return (
        core.trace_state_clean()
        and jax.sharding.get_abstract_mesh().empty
        and jax.config.jax_threefry_partitionable
        and jax.config.jax_default_prng_impl == "threefry2x32"
    )
