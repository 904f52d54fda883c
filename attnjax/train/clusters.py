"""The processes of one run on several hosts, as a command line or the environment of a cluster tells of them.

Free of jax: a command reads this before it knows whether there is more than one process.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attnjax.config import require

TPU_PORT = 8476
"""The port of host 0 of a TPU slice, where nobody names one."""
FIRST_PORT, PORTS = 61440, 4096
"""Of a job that a scheduler numbered, so that two jobs on one machine rarely meet."""
METADATA_SECONDS = 3.0
"""The time that the metadata server of a TPU VM has to answer."""

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Cluster:
    """One process among those of a run."""

    coordinator: str
    """HOST:PORT of process 0, where the others find it."""
    hosts: int
    """Processes in all."""
    host: int
    """The number of this one."""
    local_devices: tuple[int, ...] | None = None
    """The accelerators of the machine that are this process's; None for all of them."""

    def __post_init__(self) -> None:
        name, _, port = self.coordinator.rpartition(":")
        fits = bool(name) and port.isdecimal() and 0 < int(port) < 2**16
        require(fits, f"--coordinator is {self.coordinator!r}: expected HOST:PORT of process 0")
        require(self.hosts >= 1, f"--hosts is {self.hosts}: expected the number of processes, 1 or more")
        require(
            0 <= self.host < self.hosts,
            f"--host is {self.host}: expected a number from 0 to {self.hosts - 1}",
        )

    @property
    def address(self) -> tuple[str, int]:
        """The coordinator's name and port."""
        name, _, port = self.coordinator.rpartition(":")
        return name.strip("[]"), int(port)


def read_cluster(
    coordinator: str | None = None,
    hosts: int | None = None,
    host: int | None = None,
    environment: Environment = os.environ,
) -> Cluster | None:
    """Returns the cluster that this process is part of; None where it runs by itself.

    What is not given is looked for in the environment of `srun`, of `mpirun`, or of a TPU VM. With `hosts=1`
    a process is by itself, whatever its environment says.

    Args:
      coordinator: HOST:PORT of process 0.
      hosts: processes in all.
      host: the number of this one.
      environment: variables of the process.

    Raises:
      InputError: only some of it is known, or it cannot be.

    Example:
      >>> read_cluster(environment={}) is None
      True
      >>> slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "n[04-05]"}
      >>> read_cluster(environment={**slurm, "SLURM_JOB_ID": "7"})
      Cluster(coordinator='n04:61447', hosts=2, host=1, local_devices=None)
    """
    if hosts == 1:
        return None
    given = {"--coordinator": coordinator, "--hosts": hosts, "--host": host}
    if None not in given.values():
        return Cluster(coordinator, hosts, host)  # type: ignore[arg-type]
    found = next((own for known in _KNOWN if (own := known(environment)) is not None), None)
    if found is None:
        lacking = " and ".join(name for name, value in given.items() if value is None)
        told = [name for name, value in given.items() if value is not None]
        require(not told, f"{' and '.join(told)} came without {lacking}: nothing here tells of a cluster")
        return None
    where, count, number, devices = found
    where = coordinator or where
    require(where is not None, f"one of {count} processes: expected --coordinator HOST:PORT of process 0")
    return Cluster(str(where), count if hosts is None else hosts, number if host is None else host, devices)


Found = tuple[str | None, int, int, tuple[int, ...] | None]
"""The coordinator, if it is known, the number of processes, that of this one, and its accelerators."""


def _slurm(environment: Environment) -> Found | None:
    """Of a step that `srun` started; a batch script by itself is one process."""
    count = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if count < 2:
        return None
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    port = FIRST_PORT + _number(environment, "SLURM_JOB_ID", 0) % PORTS
    beside = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    alone = re.fullmatch(r"1(\(x\d+\))?", beside) is not None
    devices = None if alone else (_number(environment, "SLURM_LOCALID", 0),)
    return (
        f"{first_node(nodes)}:{port}" if nodes else None,
        count,
        _number(environment, "SLURM_PROCID", 0),
        devices,
    )


def _open_mpi(environment: Environment) -> Found | None:
    count = _number(environment, "OMPI_COMM_WORLD_SIZE", 1)
    if count < 2:
        return None
    # Both name the process that started the others, which is on the machine of the first.
    uri = environment.get("OMPI_MCA_orte_hnp_uri") or environment.get("PMIX_SERVER_URI4", "")
    address = re.search(r"tcp4?://([\d.]+)", uri)
    job = re.match(r"\D*(\d+)", uri)
    # The lowest bits of its number are those of a job within a job.
    where = f"{address[1]}:{FIRST_PORT + int(job[1] if job else 0) // PORTS % PORTS}" if address else None
    alone = _number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE", 1) == 1
    devices = None if alone else (_number(environment, "OMPI_COMM_WORLD_LOCAL_RANK", 0),)
    return where, count, _number(environment, "OMPI_COMM_WORLD_RANK", 0), devices


def _other_mpi(environment: Environment) -> Found | None:
    """Of MPICH and Intel MPI, which do not say where process 0 is."""
    count = _number(environment, "PMI_SIZE", 1)
    return (None, count, _number(environment, "PMI_RANK", 0), None) if count > 1 else None


def _tpu(environment: Environment) -> Found | None:
    """Of a slice of several TPU VMs, from its variables or else from its metadata server."""
    names, number = environment.get("TPU_WORKER_HOSTNAMES"), environment.get("TPU_WORKER_ID")
    if names is None and _on_a_tpu_vm():
        names, number = (
            _metadata(environment, "worker-network-endpoints"),
            _metadata(environment, "agent-worker-number"),
        )
        names = (
            ",".join(own.split(":")[2] for own in names.split(",") if own.count(":") > 1) if names else None
        )
    hosts = [name.strip() for name in (names or "").split(",") if name.strip()]
    if len(hosts) < 2 or number is None:
        return None
    return f"{hosts[0]}:{TPU_PORT}", len(hosts), int(number), None


_KNOWN: tuple[Callable[[Environment], Found | None], ...] = (_slurm, _open_mpi, _other_mpi, _tpu)


def first_node(nodes: str) -> str:
    """Returns the first name of a list of SLURM's.

    >>> first_node("tpu[003-010,12],login"), first_node("a1,b2")
    ('tpu003', 'a1')
    """
    found = re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def _on_a_tpu_vm() -> bool:
    chips = any(Path(place).exists() for place in ("/dev/accel0", "/dev/vfio/0"))
    return chips and importlib.util.find_spec("libtpu") is not None


def _metadata(environment: Environment, name: str) -> str | None:
    from urllib.request import Request, urlopen

    server = environment.get("GCE_METADATA_IP", "metadata.google.internal")
    asked = Request(
        f"http://{server}/computeMetadata/v1/instance/attributes/{name}",
        headers={"Metadata-Flavor": "Google"},
    )
    try:
        with urlopen(asked, timeout=METADATA_SECONDS) as answer:
            return str(answer.read().decode()).strip()
    except OSError:
        return None


def _number(environment: Environment, name: str, default: int) -> int:
    value = environment.get(name, "")
    return int(value) if value.isdecimal() else default
