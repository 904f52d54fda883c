"""SIGTERM while no training is going on (the trainer answers it itself): leave at once, by an exception."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from threading import Timer
from types import FrameType

STOPPED_BY_SIGTERM = 143
STOPPED_BY_CTRL_C = 130
"""Exit codes of what was not finished, as shells give them: 128 and the number of the signal."""
AGAIN_SECONDS = 0.01
"""After these a signal looks again whether an import has ended."""


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nothing on the way takes it for an error."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Terminated in the main thread while this is open, and Ctrl-C KeyboardInterrupt.

    While a library in C is being imported both wait for its end: what such a library does with an exception
    that it does not know ranges from an ImportError that says nothing of it to the death of the process.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if _within_an_import_in_c(frame):
            again = Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    heeds_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    numbers = (signal.SIGTERM, signal.SIGINT) if heeds_ctrl_c else (signal.SIGTERM,)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _within_an_import_in_c(frame: FrameType | None) -> bool:
    """Returns True while a library in C that is being imported calls Python code."""
    while frame is not None:
        if frame.f_code in (
            ExtensionFileLoader.create_module.__code__,
            ExtensionFileLoader.exec_module.__code__,
        ):
            return True
        frame = frame.f_back
    return False
