"""SIGTERM and Ctrl-C as requests: the loop saves and leaves at its next chunk boundary."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)


@contextmanager
def interrupt_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, and a first Ctrl-C, which raises KeyboardInterrupt only on leaving.

    A second Ctrl-C raises at once. Outside the main thread, where Python allows no handler, the event stays
    unset; a SIGINT that the process was started to ignore stays ignored.
    """
    requested, pressed = threading.Event(), threading.Event()

    def terminate(*_: Any) -> None:
        requested.set()

    def interrupt(*_: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        requested.set()
        logger.warning("saving; Ctrl-C again leaves at once, to go on from the last checkpoint")

    if threading.current_thread() is not threading.main_thread():
        yield requested
        return
    handlers = {signal.SIGTERM: terminate, signal.SIGINT: interrupt}
    before = {number: signal.getsignal(number) for number in handlers}
    heeded = [number for number in handlers if before[number] != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, handlers[number])
    try:
        yield requested
    finally:
        for number in heeded:
            signal.signal(number, before[number])
    if pressed.is_set():
        raise KeyboardInterrupt
