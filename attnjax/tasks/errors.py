"""Errors of a task's own code, told from those that are not its fault. Free of jax."""

import errno
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attnjax
from attnjax.config import InputError

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
LONGEST = 300

_NOT_THE_USERS = (Path(attnjax.__file__).parent, Path(os.__file__).parent)


class TaskError(Exception):
    """A task is not what training needs, or its code has failed; the message is one line.

    `details`: the traceback of what its code raised; None where nothing was raised.
    """

    def __init__(self, message: str, details: str | None = None) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) <= LONGEST else f"{line[:LONGEST]}…")
        self.details = details


@contextmanager
def task_code(what: str, *, but: type[Exception] = TaskError) -> Iterator[None]:
    """Turns what the task's code raises inside into a TaskError that says in which part of it, and where.

    A disk that is full or read-only is nobody's code: that OSError passes, as do `but`, Ctrl-C and SIGTERM.

    >>> with task_code("loss"):
    ...     1 / 0
    Traceback (most recent call last):
    attnjax.tasks.errors.TaskError: ZeroDivisionError in loss: division by zero
    """
    try:
        yield
    except (TaskError, but):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise
        message = f"{type(error).__name__} in {what}: {str(error).strip().partition(chr(10))[0]}"
        details = "".join(traceback.format_exception(error))
        raise TaskError(message + _place(error), details) from error


def said_of(error: TaskError) -> BaseException:
    """Returns what a command ends with: what the task's code raised, for its traceback, or one line.

    A ValueError that this package raised, called by no code of a user, is about the config: a line says it.

    >>> said_of(TaskError("batch returns nothing"))
    InputError('batch returns nothing')
    """
    cause = error.__cause__
    if cause is None:
        return InputError(str(error))
    *_, last = traceback.extract_tb(cause.__traceback__)
    # Of what jax raises the last frame may be the line of this package that called it.
    own = Path(last.filename).is_relative_to(_NOT_THE_USERS[0]) and (last.line or "").startswith("raise ")
    return InputError(str(cause)) if isinstance(cause, ValueError) and own and not _place(cause) else cause


def _place(error: BaseException) -> str:
    """` (file.py:line)`, the innermost place in the user's own code; nothing where there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        installed = {"site-packages", "dist-packages"} & set(file.parts)
        if file.is_file() and not installed and not any(file.is_relative_to(p) for p in _NOT_THE_USERS):
            return f" ({file.name}:{frame.lineno})"
    return ""
