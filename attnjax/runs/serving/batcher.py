"""Answers to several requests at once: what comes while the model is busy is computed together."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[Sequence[str], Any], Sequence[Any]]

PIECE = 64
"""Texts that are computed together, at most, but for those of one large request."""
WAIT = 0.01
"""Seconds that a text waits for others."""
WAITING = 4096
"""Texts that may wait."""


class Busy(Exception):
    """There are too many texts that wait."""


@dataclass
class _Job:
    texts: Sequence[str]
    settings: Any
    result: "Future[Sequence[Any]]" = field(default_factory=Future)


class Batcher:
    """One thread that answers; requests with equal settings are joined.

    Args:
      answer: texts and settings to answers. It is called from that thread alone.

    Example:
      >>> with Batcher(lambda texts, loud: [text.upper() if loud else text for text in texts]) as batcher:
      ...     batcher.ask(["a", "b"], True)
      ['A', 'B']
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._waiting, self._lock = 0, threading.Lock()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    def __enter__(self) -> "Batcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.put(None)
        self._thread.join()

    def ask(self, texts: Sequence[str], settings: Any) -> Sequence[Any]:
        """Returns the answers to texts, once they are there.

        Raises:
          Busy: too many wait.
          Exception: as `answer` does.
        """
        job = _Job(texts, settings)
        with self._lock:
            if self._waiting + len(texts) > WAITING:
                raise Busy(f"{self._waiting} texts wait: try again later")
            self._waiting += len(texts)
        self._jobs.put(job)
        return job.result.result()

    def _work(self) -> None:
        later: list[_Job] = []
        open_ = True
        while open_ or later:
            first = later.pop(0) if later else self._jobs.get()
            if first is None:
                return
            joined, later, open_ = self._joined(first, later, open_)
            self._settle(joined)

    def _joined(self, first: _Job, later: list[_Job], open_: bool) -> tuple[list[_Job], list[_Job], bool]:
        """Returns the jobs that are computed with the first one, those that wait on, and if more may come."""
        joined, others, until = [first], list[_Job](), time.monotonic() + WAIT
        count = len(first.texts)
        while count < PIECE:
            try:
                job = later.pop(0) if later else self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if job is None:
                open_ = False
                break
            if job.settings == first.settings:
                joined.append(job)
                count += len(job.texts)
            else:
                others.append(job)
        return joined, others + later, open_

    def _settle(self, jobs: list[_Job]) -> None:
        texts = [text for job in jobs for text in job.texts]
        try:
            found = list(self._answer(texts, jobs[0].settings))
        except Exception as error:
            if len(jobs) > 1:  # The fault of one of them is not that of the others.
                for job in jobs:
                    self._settle([job])
                return
            self._done(jobs[0])
            jobs[0].result.set_exception(error)
            return
        for job in jobs:
            own, found = found[: len(job.texts)], found[len(job.texts) :]
            self._done(job)
            job.result.set_result(own)

    def _done(self, job: _Job) -> None:
        with self._lock:
            self._waiting -= len(job.texts)
