"""The options that say on which devices and hosts a run is computed."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attnjax.cli.sweeps import count
from attnjax.config import require
from attnjax.train.mesh import AXES, PRESETS

if TYPE_CHECKING:
    from attnjax.runs.placement import Placement
    from attnjax.train.distributed import Hosts


def hosts_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a run on several hosts."""
    text = "one run on several hosts; srun, mpirun and TPU VMs say most of this themselves"
    group = parser.add_argument_group("hosts", text)
    text = "address of process 0, the same on each host"
    group.add_argument("--coordinator", metavar="HOST:PORT", help=text)
    group.add_argument("--hosts", type=count, metavar="N", help="processes in all")
    group.add_argument("--host", type=int, metavar="I", help="the number of this one, from 0")
    text = "how long to wait for the others at the start (default: 300)"
    group.add_argument("--host-timeout", type=count, default=300, metavar="SECONDS", help=text)


@contextmanager
def joined_hosts(options: argparse.Namespace) -> "Iterator[Hosts]":
    """Makes this process one of the hosts that options or the environment tell of.

    Raises:
      InputError: they do not all see the folder of the runs.
    """
    from attnjax.runs.hosts import ending
    from attnjax.runs.working_copy import shown
    from attnjax.train.clusters import read_cluster
    from attnjax.train.distributed import joined

    cluster, place = read_cluster(options.coordinator, options.hosts, options.host), shown(options.runs)
    all_see = cluster is None or place == str(options.runs)
    hint = "a folder that all {} hosts see, as gcsfuse mounts a bucket"
    require(all_see, f"--runs is {place}: expected {hint.format(cluster and cluster.hosts)}")
    with joined(cluster, seconds=options.host_timeout, ending=ending) as hosts:
        yield hosts


def device_argument(parser: argparse.ArgumentParser, default: str = "all") -> None:
    """Adds the options on devices."""
    text = f"devices to share a batch (default: {default})"
    parser.add_argument("--devices", type=count, metavar="N", help=text)
    text = f"how devices share a run, as data=4,fsdp=2 (axes {', '.join(AXES)}), one perhaps auto; or auto"
    parser.add_argument("--mesh", metavar="AXIS=N,...", help=text)
    text = f"what is split over the mesh: {', '.join(PRESETS)}, with changes as fsdp,vocab=model or mlp=none"
    parser.add_argument("--rules", metavar="PRESET|AXIS=AXIS,...", help=text)


def reader_of(options: argparse.Namespace) -> "Placement":
    """Returns the mesh on which a trained model answers: that of the options on devices, else one device."""
    from attnjax.runs.placement import place_reader

    return place_reader(options.devices, options.mesh, options.rules)
