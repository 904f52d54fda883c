"""Packs of a sweep as tasks of a Ray cluster: each goes on elsewhere when its process or machine dies.

Every node needs attnjax, the experiment's file and the runs folder under the same paths.
"""

import functools
import json
import logging
import os
import socket
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.runs import store
from attnjax.runs.devices import cores, start_jax
from attnjax.runs.start import Notify
from attnjax.runs.store import Run
from attnjax.sweeps.launch import LocalLauncher, PackOptions
from attnjax.sweeps.pack_plan import PackPlan
from attnjax.sweeps.programs import Programs
from attnjax.sweeps.spec import SweepSpec, spec_of, spec_record
from attnjax.sweeps.store import Pack, Sweep
from attnjax.sweeps.trials import Trial
from attnjax.sweeps.watcher import Follower, Watcher
from attnjax.sweeps.worker import Worker

ACCELERATORS = {"GPU", "TPU"}
# Ray leaves a worker that asked for no GPU the machine's CUDA_VISIBLE_DEVICES: each would take every GPU.
CPU_ENVIRONMENT = {"JAX_PLATFORMS": "cpu"}
MAX_RETRIES = 3  # Of a pack whose process or machine died.
PACKS_AHEAD = 1  # Beside those that are computed: a cluster that can grow sees that one waits.
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_ANSWER = 10.0


class RayLauncher:
    """Computes packs on a Ray cluster, `resources` (CPU, GPU, TPU or a name of your own) for each.

    Without an address a cluster of this machine's cores is started, and ends with this process.
    """

    def __init__(
        self,
        spec: SweepSpec,
        sweep: Sweep,
        watcher: Watcher,
        notify: Notify,
        *,
        address: str | None,
        resources: Mapping[str, float],
    ) -> None:
        self._ray = _started(address)
        self._spec, self._watcher, self._notify = spec, watcher, notify
        self._sweep = Sweep(sweep.folder.resolve())
        # A pack that asks for a device of another kind needs no core of its own to be placed.
        self._wanted = {"CPU": 0.0 if resources.keys() - {"CPU"} else 1.0, **resources}
        own = {name: amount for name, amount in self._wanted.items() if name not in ("CPU", "GPU")}
        self._options = {
            "num_cpus": self._wanted["CPU"],
            "num_gpus": self._wanted.get("GPU", 0),
            "resources": own,
            "max_retries": MAX_RETRIES,
            "runtime_env": {"env_vars": self._environment()},
        }
        self._devices = max(1, int(resources.get("GPU") or resources.get("TPU") or resources.get("CPU", 1)))
        self._require_room()
        # The text of a large sweep is a megabyte: it is written once, and not with each of its packs.
        self._sweep_text = self._ray.put(json.dumps(spec_record(spec)))

    def plan(self, pack_options: PackOptions, existing: dict[str, Any] | None) -> PackPlan:
        """Returns how packs are computed on a node of the cluster."""
        pack_options = pack_options._replace(devices=pack_options.devices or self._devices)
        record, notes = self._get(self._task(_plan, self._sweep_text, tuple(pack_options), existing))
        for note in notes:
            self._notify(note)
        plan = PackPlan.from_record(record)
        if not existing:
            plan = replace(plan, packs=self._side_by_side())
        self._plan_text, self._width = json.dumps(plan.record()), plan.layout.width
        return plan

    def cut(self, group: Sequence[Trial]) -> list[Sequence[Trial]]:
        """As many as a pack has lanes: there may be as many workers as packs."""
        return [group[start : start + self._width] for start in range(0, len(group), self._width)]

    def run(self, packs: Sequence[Pack]) -> bool:
        """Computes packs as tasks of the cluster; False when one was stopped before its end."""
        followed = (Follower(self._spec, self._sweep, pack, self._watcher) for pack in packs)
        waiting = deque(follower for follower in followed if not follower.finished)
        left: dict[Any, Follower] = {}
        finished = True
        while waiting or left:
            # Of tasks that wait Ray takes any, and may leave the first for last: with one alone a sweep that
            # is stopped has a beginning, and what comes later is not looked at.
            while waiting and len(left) < self._side_by_side() + PACKS_AHEAD:
                follower = waiting.popleft()
                numbers = list(follower.pack.numbers)
                left[self._task(_compute, self._sweep_text, self._plan_text, numbers)] = follower
            done, _ = self._ray.wait(list(left), timeout=SECONDS_BETWEEN_LOOKS)
            for follower in left.values():
                follower.look()
            for task in done:
                finished &= self._get(task)
                left.pop(task).look()
        return finished

    def _environment(self) -> dict[str, str]:
        """XLA's threads are as many as a pack's cores: else those of each would take every core."""
        if self._wanted.keys() & ACCELERATORS:
            return {}
        return {**CPU_ENVIRONMENT, "NPROC": str(max(1, int(self._wanted["CPU"])))}

    def _task(self, function: Any, *arguments: Any) -> Any:
        remote = self._ray.remote(**self._options)(function)
        return remote.remote(str(self._sweep.folder), *arguments)

    def _get(self, task: Any) -> Any:
        """Returns the result of a task. Raises its own InputError, or InputError if it died too often."""
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"a pack died {MAX_RETRIES + 1} times on the Ray cluster: {reason}") from None

    def _side_by_side(self) -> int:
        """Returns the number of packs that the cluster can compute at a time."""
        there = self._ray.cluster_resources()
        return max(1, min(int(there.get(name, 0) // n) for name, n in self._wanted.items() if n))

    def _require_room(self) -> None:
        """A task that no node could ever take would wait without a word."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= n for name, n in self._wanted.items()) for node in nodes):
            asked = " ".join(f"{name}={n:g}" for name, n in self._wanted.items() if n)
            raise InputError(f"--resources {asked}: no node of the Ray cluster has as much")


def _started(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("--launcher ray needs Ray: pip install 'attnjax[ray]'") from None
    if not ray.is_initialized():
        _require_answer(address)
        here: dict[str, Any] = {} if address else {"num_cpus": cores(), "include_dashboard": False}
        try:
            with warnings.catch_warnings():
                # Python warns of a fork beside JAX's threads; Ray's becomes another program at once.
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                # "local": without it Ray joins whatever cluster was started here last, if only by its traces.
                ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"--address is {address}: {str(error).splitlines()[0]}") from None
    return ray


def _require_answer(address: str | None) -> None:
    """InputError where nobody listens: Ray itself would try again for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
        except OSError as error:
            raise InputError(f"--address is {address}: nobody answers there ({error})") from None


def _plan(
    folder: str, sweep_text: str, pack_options: tuple[Any, ...], existing: dict[str, Any] | None
) -> tuple[dict[str, Any], list[str]]:
    """On a node of the cluster: how packs are computed there, and notes to the user."""
    sweep, notes = Sweep(Path(folder)), list[str]()
    spec = spec_of(sweep, json.loads(sweep_text))
    plan = LocalLauncher(spec, sweep, Watcher(), notes.append, alone=False).plan(
        PackOptions(*pack_options), existing
    )
    return plan.record(), notes


def _compute(folder: str, sweep_text: str, plan_text: str, numbers: Sequence[int]) -> bool:
    """On a node of the cluster: computes one pack."""
    worker = _worker(folder, sweep_text, plan_text)
    pack = Pack.of(worker.sweep, numbers)
    store.prepare_folder(pack.folder)
    with Run(pack.folder).lock():  # The process before may live on behind a network that broke.
        return worker.run(pack)


@functools.lru_cache(maxsize=1)
def _worker(folder: str, sweep_text: str, plan_text: str) -> Worker:
    """Kept between the packs that a process computes, for its compiled programs."""
    sweep, plan = Sweep(Path(folder)), PackPlan.from_record(json.loads(plan_text))
    start_jax(plan.layout.devices)
    spec = spec_of(sweep, json.loads(sweep_text))
    return Worker(spec, sweep, plan, Programs(spec))
