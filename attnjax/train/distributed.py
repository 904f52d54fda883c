"""The processes of a run on several hosts: one program on all of their devices. Process 0 writes.

Without a cluster there is one host, and nothing of this costs anything, nor imports jax.
"""

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from attnjax.config import InputError, RunFailed
from attnjax.train.channel import Channel
from attnjax.train.clusters import Cluster

Value = TypeVar("Value")

WAIT_SECONDS = 300.0
"""The time that the hosts of a run wait for each other at its start."""
NAMING_SECONDS = 5.0
"""A device that cannot reach another one fails; the channel says within this time whose process died."""
LAST_WORDS_SECONDS = 0.3
"""The time in which what was sent to the others arrives, before this process is gone."""


class Hosts:
    """The processes that run one program together; of one alone where there is no channel.

    Example:
      >>> alone = Hosts()
      >>> alone.is_main, alone.count, alone.exchange("here"), alone.of_main(lambda: 7), alone.any(False)
      (True, 1, ['here'], 7, False)
    """

    def __init__(self, channel: Channel | None = None) -> None:
        self._channel = channel

    @property
    def host(self) -> int:
        """The number of this process."""
        return self._channel.host if self._channel else 0

    @property
    def count(self) -> int:
        """The number of processes."""
        return self._channel.hosts if self._channel else 1

    @property
    def is_main(self) -> bool:
        """True for the process that writes and prints."""
        return self.host == 0

    def exchange(self, value: Any) -> list[Any]:
        """Returns the JSON value that each process gives, in their order: all wait here for all."""
        return self._channel.exchange(value) if self._channel else [value]

    def of_main(self, make: Callable[[], Value]) -> Value:
        """Returns what process 0 makes, a JSON value, which the others do not make."""
        if self._channel is None:
            return make()
        value: Value = self.exchange(make() if self.is_main else None)[0]
        return value

    def refuse(self, reason: str) -> NoReturn:
        """Raises InputError, on all processes: each says the same, and none that another one ended."""
        if self._channel:
            self._channel.close()
        raise InputError(reason)

    def any(self, flag: bool) -> bool:
        """Returns True on all processes if the flag is set on one."""
        return any(self.exchange(flag)) if self._channel else flag


_present = Hosts()


def hosts() -> Hosts:
    """Returns the hosts of the run in this process."""
    return _present


@contextmanager
def joined(
    cluster: Cluster | None,
    *,
    seconds: float = WAIT_SECONDS,
    ending: Callable[[BaseException], tuple[int, str]],
) -> Iterator[Hosts]:
    """Makes this process one of a cluster: waits for the others, and starts JAX on the devices of all.

    When one dies, or fails, the others end at once, each with a line that names it. An exception in the block
    ends all of them. JAX's backend must not have started.

    Args:
      cluster: None for a process by itself, for which nothing happens.
      seconds: how long to wait for the others.
      ending: returns the exit code that stands for an exception, and a line for the other processes.

    Raises:
      InputError: one of them did not come, which is named.
    """
    global _present
    if cluster is None or cluster.hosts == 1:
        yield _present
        return
    channel = Channel(cluster.address, cluster.host, cluster.hosts, seconds, _leave)
    _present = Hosts(channel)
    try:
        _start_jax(cluster, _present, seconds)
        yield _present
        channel.close()
        import jax

        jax.distributed.shutdown()
    except BaseException as error:
        foreign = error.__cause__ if isinstance(error, InputError | RunFailed) else error
        if isinstance(foreign, Exception):
            # Most likely it is that a device of a process that has just died does not answer.
            time.sleep(NAMING_SECONDS)
        code, reason = ending(error)
        channel.fail(reason, code)
        # JAX would wait at exit for the others, which have left.
        atexit.register(_go, code)
        raise
    finally:
        _present = Hosts()


def _start_jax(cluster: Cluster, present: Hosts, seconds: float) -> None:
    """Starts JAX's own service, at a port that is free on the machine of process 0."""
    import jax

    name, _ = cluster.address
    port = present.of_main(_free_port)
    # CPUs of several processes reach each other by this; other backends do not read it.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        f"{name}:{port}",
        cluster.hosts,
        cluster.host,
        local_device_ids=cluster.local_devices,
        initialization_timeout=int(seconds),
        cluster_detection_method="deactivate",
    )


def _free_port() -> int:
    import socket

    with socket.create_server(("", 0)) as door:
        return int(door.getsockname()[1])


def _leave(reason: str, code: int) -> None:
    """Ends this process for one that is lost, from another thread: the main one may wait for it for ever."""
    print(f"attnjax: error: {' '.join(reason.split())}", file=sys.stderr, flush=True)
    if _present.is_main:
        time.sleep(LAST_WORDS_SECONDS)
    os._exit(code)  # At once: JAX ends a process with a page of C++ where that of host 0 is gone.


def _go(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
