"""Run folders at a URL (gs://bucket/runs, s3://…, what fsspec opens): a command works on a copy of them.

An object store renames nothing in one step, appends to nothing and locks nothing: what a run counts on does
not hold there. A command therefore works on a local copy, as on any folder. What lies at the URL is fetched
when the command begins, checkpoints when their run is asked for; what has changed is sent every `PERIOD`
seconds and at the end: rows of metrics before the checkpoints that imply them, results last of all. A machine
that goes away loses what it has not sent, and the next one goes on from the newest checkpoint that was.
"""

import fcntl
import hashlib
import itertools
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from attnjax.config import InputError, user_cache
from attnjax.runs.storage import Storage

PERIOD = 15.0
"""Seconds between two looks at what has changed."""
ALIVE = 8 * PERIOD
"""Seconds. An owner that has not been heard of for so long is gone."""
OWNER = "owner.json"
"""The file at the URL of who works on a run, or did last."""
UNDER_WAY = ".orbax-checkpoint-tmp"
"""In the names of folders that Orbax has not finished."""

_copies: list["WorkingCopy"] = []


def shown(place: Path) -> str:
    """Returns a path as its user knows it: what lies in a working copy by its URL."""
    copy = _copy_of(place)
    if copy is None:
        return str(place)
    return f"{copy.url}/{place.relative_to(copy.folder).as_posix()}".removesuffix("/.")


class WorkingCopy:
    """A local copy of the run folders at a URL, for one process.

    Raises:
      InputError: nothing opens such URLs here, or what lies there cannot be read.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url.rstrip("/"), folder
        self._storage = Storage(self.url)
        self._record = folder / ".sent.json"
        before = json.loads(self._record.read_text()) if self._record.is_file() else {}
        self._id: str = before.get("copy") or uuid.uuid4().hex
        self._known: dict[str, list[Any]] = before.get("known", {})
        """Of each file that is alike here and there: what marks its content here, and there."""
        self._owned: set[str] = set()
        self._turn = threading.RLock()

    def fetch(self, below: str = "", *, checkpoints: bool = False) -> None:
        """Brings what has changed at the URL here; of a file that has changed at both places, the URL's."""
        with self._at_work("read"):
            there = {
                name: mark
                for name, mark in self._storage.listed(below).items()
                if PurePosixPath(name).name != OWNER and (checkpoints or not _of_checkpoint(name))
            }
            for name, mark in there.items():
                if self._known.get(name, [None, None])[1] != mark:
                    place = self.folder / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    part = place.with_name(f".{place.name}.part")
                    self._storage.fetch(name, part)
                    os.replace(part, place)
                    self._known[name] = [_mark_here(place), mark]
            for name in [name for name in self._known if name.startswith(below) and name not in there]:
                if checkpoints or not _of_checkpoint(name):
                    self._drop(name)

    def send(self) -> None:
        """Takes what has changed here to the URL, and says there that this process is alive."""
        with self._at_work("write to"):
            for run in self._owned:
                self._say(run, time.time())
            here = {name: _mark_here(self.folder / name) for name in self._names_here()}
            changed = [name for name, mark in here.items() if self._known.get(name, [None])[0] != mark]
            for name in sorted(changed, key=_when_to_send):
                with suppress(FileNotFoundError):  # A checkpoint that is no longer kept.
                    self._known[name] = [here[name], self._storage.send(self.folder / name, name)]
            for name in [name for name in self._known if not (self.folder / name).exists()]:
                with suppress(FileNotFoundError):
                    self._storage.remove(name)
                del self._known[name]

    @contextmanager
    def owned(self, run: str) -> Iterator[None]:
        """Claims a run for this process, as far as can be: two that start at once are not told apart.

        Where another copy was at work on the run since, what this one holds of it is fetched anew.

        Raises:
          InputError: Another process was at work on it a moment ago, or nothing can be written there.
        """
        with self._at_work("write to"):
            self._claim(run)
            self._say(run, time.time())
            self._owned.add(run)
        try:
            self.fetch(f"{run}/", checkpoints=True)
            yield
        finally:
            self._owned.discard(run)
            with self._at_work("write to"):
                self._say(run, 0.0)

    def _claim(self, run: str) -> None:
        said = self._storage.read(f"{run}/{OWNER}")
        if said is None:
            return
        other = json.loads(said)
        if other["copy"] == self._id:  # No other process has this copy: it was an earlier one.
            return
        ago = time.time() - other["at"]
        if ago < ALIVE and not (other["host"] == socket.gethostname() and _is_gone(other["process"])):
            raise InputError(
                f"process {other['process']} on {other['host']} works on {self.url}/{run}, heard of "
                f"{ago:.0f} s ago: expected none within {ALIVE:.0f} s"
            )
        for name in [name for name in self._names_here() if name.startswith(f"{run}/")]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Removes a file here, and the folders that it leaves empty."""
        (self.folder / name).unlink(missing_ok=True)
        self._known.pop(name, None)
        with suppress(OSError):
            for folder in (self.folder / name).relative_to(self.folder).parents[:-1]:
                (self.folder / folder).rmdir()

    def _say(self, run: str, at: float) -> None:
        owner = {"host": socket.gethostname(), "process": os.getpid(), "copy": self._id, "at": at}
        self._storage.write(f"{run}/{OWNER}", json.dumps(owner).encode())

    def _names_here(self) -> Iterator[str]:
        for place, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if UNDER_WAY not in name]
            for file in files:
                name = (Path(place) / file).relative_to(self.folder).as_posix()
                if not file.startswith(".") or _of_checkpoint(name):
                    yield name

    @contextmanager
    def _at_work(self, what: str) -> Iterator[None]:
        with self._turn:
            try:
                yield
            except InputError:
                raise
            except Exception as error:  # Each kind of store raises errors of its own.
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise InputError(
                    f"cannot {what} {self.url}: {reason} (what is here is kept in {self.folder})"
                ) from error
            finally:
                part = self._record.with_name(".sent.new")
                part.write_text(json.dumps({"copy": self._id, "known": self._known}))
                os.replace(part, self._record)


@contextmanager
def working_copy(url: str, notify: Callable[[str], None]) -> Iterator[Path]:
    """Returns a folder that is kept like the URL while this is open.

    Args:
      url: of run folders.
      notify: gets a note when what has changed cannot be sent; it is tried again, at last when this closes.

    Raises:
      InputError: nothing opens such URLs here, or what lies there cannot be read, or written at the end.
    """
    with _folder_for(url) as folder:
        copy = WorkingCopy(url, folder)
        copy.fetch()
        over = threading.Event()

        def keep() -> None:
            while not over.wait(PERIOD):
                try:
                    copy.send()
                except InputError as error:
                    notify(f"{error}: trying again")

        keeper = threading.Thread(target=keep, name="storage", daemon=True)
        _copies.append(copy)
        keeper.start()
        try:
            yield copy.folder
        finally:
            over.set()
            keeper.join()
            _copies.remove(copy)
            copy.send()


@contextmanager
def held(folder: Path, *, shared: bool) -> Iterator[None]:
    """Fetches the checkpoints of a run folder in a working copy and, unless `shared`, owns the run.

    A folder that is no copy of anything is left as it is. Raises InputError as `WorkingCopy` does.
    """
    copy = _copy_of(folder)
    if copy is None:
        yield
        return
    run = folder.relative_to(copy.folder).as_posix()
    if shared:
        copy.fetch(f"{run}/", checkpoints=True)
        yield
        return
    with copy.owned(run):
        yield


def _copy_of(place: Path) -> WorkingCopy | None:
    return next((copy for copy in _copies if place.is_relative_to(copy.folder)), None)


@contextmanager
def _folder_for(url: str) -> Iterator[Path]:
    """Returns the folder of the first copy that no other process works in, and keeps others out."""
    name = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    for number in itertools.count(1):
        folder = user_cache() / "storage" / f"{name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folder
            return


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # Of another user, but there.
        pass
    return False


def _of_checkpoint(name: str) -> bool:
    return "checkpoints" in PurePosixPath(name).parts[:-1]


def _when_to_send(name: str) -> tuple[int, str]:
    """A checkpoint implies the rows before it, a result all that came before it."""
    return (2 if PurePosixPath(name).name == "result.json" else int(_of_checkpoint(name))), name


def _mark_here(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]
