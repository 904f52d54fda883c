"""Silence about what is left of a checkpoint that could not be read.

Orbax reads all arrays at once and gives up at the first error. Each read that is under way then is announced
with a traceback, at once or later: by asyncio when its task is collected, by Python when its answer finds the
event loop closed or when its coroutine is dropped. The damage itself is reported once, by whoever loads.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

_OWNERS = ("orbax", "tensorstore", "_wrap_awaitable")  # The last is asyncio's name for a TensorStore future.
_ANNOUNCED = (
    "Task exception was never retrieved",
    "Future exception was never retrieved",
    "Task was destroyed",
)


def silence_abandoned_reads() -> None:
    """Keeps them off the terminal for the rest of the process; what others abandon is still shown."""
    logging.getLogger("asyncio").addFilter(_shown)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)
    warnings.filterwarnings("ignore", r"coroutine 'Store\..*' was never awaited", RuntimeWarning)


def _shown(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not (message.startswith(_ANNOUNCED) and any(owner in message.lower() for owner in _OWNERS))


class _Hook:
    """`sys.unraisablehook` without the errors of abandoned reads."""

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        self._hook = hook

    def __call__(self, unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)
        late = str(unraisable.exc_value) == "Event loop is closed"
        if not late and (code is None or "orbax" not in code.co_filename):
            self._hook(unraisable)
