"""A line between the processes of a run: who has come, what all of them say, and who is lost.

It is TCP, a JSON text a line, with process 0 in the middle. JAX has a service of its own for that, which
kills the process with a page of C++ when another one is late, and notices a dead one after a minute; here the
kernel says at once that a process died, and every error is a sentence.
"""

import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from attnjax.config import InputError, RunFailed, require

PATIENCE_SECONDS = 1800.0
"""The time that the others have to come to the same place of the program."""
SILENCE_SECONDS = 10
"""After so long without a word the kernel asks whether a machine is still there, four times."""
RETRY_SECONDS = 0.1
"""Between two tries to find process 0, which may come later."""

Lost = Callable[[str, int], None]
"""A function that ends this process because another one is lost: it gets a line and an exit code."""


class Channel:
    """The line of one process to the others, once all have come.

    Args:
      address: of process 0.
      host: the number of this process.
      hosts: their number.
      seconds: how long to wait for all to come.
      lost: called in another thread when a process died or failed; it ends this process.

    Raises:
      InputError: one of them did not come, which is named, or it counts the processes otherwise.
    """

    def __init__(self, address: tuple[str, int], host: int, hosts: int, seconds: float, lost: Lost) -> None:
        self.host, self.hosts = host, hosts
        self._lost, self._closing = lost, False
        self._place, self._said, self._ending = 0, threading.Condition(), threading.Lock()
        self._values: dict[int, dict[int, Any]] = defaultdict(dict)
        self._links: dict[int, _Link] = {}
        self._gone: set[int] = set()
        until = time.monotonic() + seconds
        if host == 0:
            self._gather(address, until, seconds)
        else:
            self._links = {0: self._reach(address, until, seconds)}
        for other, link in self._links.items():
            threading.Thread(target=self._listen, args=(other, link), daemon=True).start()

    def exchange(self, value: Any) -> list[Any]:
        """Returns what each process says here, in their order, once all have: JSON values.

        All of them make the same calls in the same order.

        Raises:
          RunFailed: after half an hour, with the processes that have not come.
        """
        place, self._place = self._place, self._place + 1
        if self.host:
            self._links[0].send({"place": place, "value": value})
        with self._said:
            own = self._values[place]
            own[self.host] = json.loads(json.dumps(value))
            if not self._said.wait_for(lambda: self._complete(own), PATIENCE_SECONDS):
                late = _named(set(range(self.hosts)) - own.keys()) if self.host == 0 else "the others"
                raise RunFailed(f"waited {PATIENCE_SECONDS:g} s for {late}, to come to where this is")
            del self._values[place]
        values = [own.get(host) for host in range(self.hosts)]
        self._tell({"place": place, "values": values})
        return values

    def fail(self, reason: str, code: int) -> None:
        """Tells the others that this process ends, and why; they end with the same code.

        Does not return where this one is ending already for another that is lost: one line is enough.
        """
        with self._ending:
            self._closing = True
        message = {"lost": f"host {self.host} ended: {reason}", "code": code}
        for link in self._links.values():
            with suppress(OSError):
                link.send(message)
        self._hang_up()

    def close(self) -> None:
        """Ends the line, once all are there: then nobody is lost any more."""
        self.exchange(None)
        self._closing = True
        self.exchange(None)  # Who leaves now is missed by nobody.
        self._hang_up()

    def _complete(self, own: Mapping[int, Any]) -> bool:
        """Returns True if all have said something, or have left at the end."""
        return len(own.keys() | self._gone) == self.hosts or bool(self.host and self._gone)

    def _tell(self, message: dict[str, Any], but: int | None = None) -> None:
        """Sends a message of process 0 to all the others."""
        for other, link in self._links.items() if self.host == 0 else ():
            if other != but:
                with suppress(OSError):  # Its reader finds that out.
                    link.send(message)

    def _listen(self, other: int, link: "_Link") -> None:
        lost: dict[str, Any] = {"lost": f"host {other} died or can no longer be reached", "code": 1}
        with suppress(OSError, ValueError):
            while message := link.receive():
                if "lost" in message:
                    lost = message
                    break
                said = {other: message["value"]} if self.host == 0 else enumerate(message["values"])
                with self._said:
                    self._values[message["place"]].update(said)
                    self._said.notify_all()
        with self._said:
            if self._closing:
                self._gone.add(other)
                self._said.notify_all()
        with self._ending:
            if self._closing:
                return
            self._closing = True
            self._tell(lost, but=other)
            self._lost(lost["lost"], lost["code"])

    def _hang_up(self) -> None:
        for link in self._links.values():
            link.close()

    def _gather(self, address: tuple[str, int], until: float, seconds: float) -> None:
        """Waits for the others to come to process 0, and tells all of them when one does not."""
        with _listening(address, self.hosts) as door:
            while len(self._links) < self.hosts - 1:
                door.settimeout(max(0.01, until - time.monotonic()))
                try:
                    link = _Link(door.accept()[0])
                except TimeoutError:
                    missing = set(range(1, self.hosts)) - self._links.keys()
                    self._refuse(f"{_named(missing)} of {self.hosts} never came in {seconds:g} s")
                self._welcome(link)
        self._tell({"welcome": True})

    def _welcome(self, link: "_Link") -> None:
        try:
            link.socket.settimeout(5)
            message = link.receive()
            host, hosts = message["host"], message["hosts"]
            link.socket.settimeout(None)
        except (OSError, ValueError, KeyError, TypeError):
            return link.close()  # Not one of ours.
        if hosts != self.hosts:
            self._refuse(f"host {host} counts {hosts} hosts, host 0 counts {self.hosts}", link)
        if host in self._links or host == 0:
            self._refuse(f"two processes call themselves host {host}", link)
        self._links[host] = link

    def _refuse(self, reason: str, more: "_Link | None" = None) -> NoReturn:
        if more is not None:
            self._links[-1] = more
        self._tell({"refused": reason})
        self._hang_up()
        raise InputError(reason)

    def _reach(self, address: tuple[str, int], until: float, seconds: float) -> "_Link":
        """Returns the link to process 0, once all have come."""
        nobody = f"host 0 never came in {seconds:g} s: nobody answers at {address[0]}:{address[1]}"
        while (left := until - time.monotonic()) > 0:
            answer: dict[str, Any] = {}
            with suppress(OSError, ValueError):
                link = _Link(socket.create_connection(address, timeout=left))
                link.send({"host": self.host, "hosts": self.hosts})
                # Process 0 gives up first, and says for whom it waited.
                link.socket.settimeout(seconds + 5)
                answer = link.receive()
                link.socket.settimeout(None)
            if "welcome" in answer:
                return link
            require("refused" not in answer, answer.get("refused", ""))
            time.sleep(RETRY_SECONDS)
        raise InputError(nobody)


class _Link:
    """A connection, and the messages on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self._lines = connection, connection.makefile("rb")
        self._sending = threading.Lock()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in {"TCP_KEEPIDLE": SILENCE_SECONDS, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, message: dict[str, Any]) -> None:
        with self._sending:
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Returns the next message; an empty one at the end."""
        message = json.loads(self._lines.readline() or "{}")
        if not isinstance(message, dict):
            raise ValueError(f"no message of a channel: {message!r}")
        return message

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)  # What was sent still arrives.


def _listening(address: tuple[str, int], hosts: int) -> socket.socket:
    """Returns the door of process 0. Raises InputError where something else has its port."""
    name, port = address
    loopback = name in ("localhost", "::1") or name.startswith("127.")
    try:
        return socket.create_server(("127.0.0.1" if loopback else "", port), backlog=hosts + 16)
    except OSError as error:
        raise InputError(f"host 0 cannot listen at {name}:{port}: {error.strerror}") from None


def _named(hosts: set[int]) -> str:
    """Returns the names of processes.

    >>> _named({3, 1})
    'hosts 1, 3'
    """
    return f"host{'s' * (len(hosts) > 1)} {', '.join(map(str, sorted(hosts)))}"
