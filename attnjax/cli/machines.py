"""The options that say on which devices and hosts a run is computed."""

import argparse

from attnjax.cli.sweeps import count
from attnjax.train.mesh import AXES, PRESETS


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


def device_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the options on devices."""
    parser.add_argument("--devices", type=count, metavar="N", help="devices to share a batch (default: all)")
    text = f"how devices share a run, as data=4,fsdp=2 (axes {', '.join(AXES)}), one perhaps auto; or auto"
    parser.add_argument("--mesh", metavar="AXIS=N,...", help=text)
    text = f"what is split over the mesh: {', '.join(PRESETS)}, with changes as fsdp,vocab=model or mlp=none"
    parser.add_argument("--rules", metavar="PRESET|AXIS=AXIS,...", help=text)
