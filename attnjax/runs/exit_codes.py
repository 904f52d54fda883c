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
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Terminated in the main thread while this is open."""
    came = False

    def stop(*_: object) -> None:
        nonlocal came
        came = True
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except Exception as error:
        if came:  # A library that is written in C, on being imported, makes an ImportError of it.
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
