"""SIGTERM while no training is going on (the trainer answers it itself): leave at once, by an exception."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED_BY_SIGTERM = 143
STOPPED_BY_CTRL_C = 130
"""Exit codes of what was not finished, as shells give them: 128 and the number of the signal."""


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nothing on the way takes it for an error."""


@contextmanager
def stops_of_imports() -> Iterator[None]:
    """Raises the Terminated or KeyboardInterrupt that came while a library in C was imported.

    Such a library makes an ImportError of what is raised within it.
    """
    try:
        yield
    except ImportError as error:
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, Terminated | KeyboardInterrupt):
            behind = behind.__cause__ or behind.__context__
        if behind is None:
            raise
        raise behind from None


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Terminated in the main thread while this is open."""

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with stops_of_imports():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
