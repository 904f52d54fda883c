"""The engines that a program uses, noted while it is traced."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import jax

from attnjax.ops.engines.with_kernels import WithKernels

if TYPE_CHECKING:
    from attnjax.ops.engines.choose import Engine

_NAMES: ContextVar[dict[str, None] | None] = ContextVar("engines", default=None)


@contextmanager
def noted_engines() -> Iterator[dict[str, None]]:
    """The names of the engines that calls of attention choose while this is open, the first one first."""
    names: dict[str, None] = {}
    token = _NAMES.set(names)
    try:
        yield names
    finally:
        _NAMES.reset(token)


def note(engine: "Engine") -> None:
    """Notes an engine, or the kernel that takes its place on the default platform, if anybody asks."""
    names = _NAMES.get()
    if names is None:
        return
    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    kernels = engine.run.kernels if isinstance(engine.run, WithKernels) else ()
    here = [kernel.name for kernel in kernels if platform in kernel.platforms]
    names[(here or [engine.name])[0]] = None
