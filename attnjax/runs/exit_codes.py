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
    """SIGTERM raises Terminated in the main thread while this is open, and Ctrl-C KeyboardInterrupt.

    A library in C, while it is imported, makes an ImportError of either, which says nothing of it any more.
    """
    came: BaseException | None = None

    def stop(number: int, _: object) -> None:
        nonlocal came
        came = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        raise came

    heeds_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    numbers = (signal.SIGTERM, signal.SIGINT) if heeds_ctrl_c else (signal.SIGTERM,)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except ImportError:
        if came is not None:
            raise came from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
