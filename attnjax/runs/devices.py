"""The devices of a run and the folder of compiled programs. Both are set before jax starts its backend."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from attnjax.config import InputError, user_cache
from attnjax.train.distributed import hosts
from attnjax.train.mesh import MeshShape

if TYPE_CHECKING:
    import jax


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """The user's folder of compiled programs; programs of another jaxlib lie in another folder."""
    return user_cache() / f"jaxlib-{version('jaxlib')}"


def start_jax(devices: int | None = None) -> None:
    """Turns on the compilation cache and makes the CPU's cores devices (`devices` of them, or all).

    `devices` are those of all hosts. Where a backend runs already, its devices stay as they are.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", -(-devices // hosts().count) if devices else cores())
    except RuntimeError:
        return


def choose_devices(
    batch_size: int, devices: int | None = None, began_with: int | None = None
) -> tuple[int, str | None]:
    """Returns the number of devices that share a batch, and a note if these are not all.

    `devices` is what the user demands; without it a run stays on as many devices as it `began_with`, because
    their number decides the order of sums; else all are used. Raises InputError when the user demands more
    than there are. Each of several hosts has equally many of them.
    """
    import jax

    available, of = len(jax.devices()), hosts().count
    if devices is not None and devices % of:
        raise InputError(f"--devices is {devices}: expected a multiple of {of} hosts")
    if devices is not None and devices > available:
        raise InputError(f"--devices is {devices}: jax has {available} {jax.default_backend()} device(s)")
    wanted = devices or began_with or available
    fitting = range(min(wanted, available, batch_size), 0, -1)
    usable = next((n for n in fitting if batch_size % n == 0 and n % of == 0), None)
    if usable is None:
        raise InputError(f"a (micro-)batch of {batch_size} does not divide over {of} hosts")
    wanted = min(wanted, available)
    if usable == wanted:
        return usable, None
    return usable, f"a (micro-)batch of {batch_size} does not divide over {wanted} devices: using {usable}"


def make_mesh(shape: MeshShape) -> "jax.sharding.Mesh | None":
    """Returns a mesh of the first devices, equally many of each host, with all axes; None for a single one.

    Those of a host follow each other, so that each computes one part of the rows of a batch.
    """
    import jax

    if shape.devices == 1:
        return None
    sizes, automatic = shape.sizes, (jax.sharding.AxisType.Auto,) * len(shape.sizes)
    if hosts().count == 1:
        chosen = jax.devices()[: shape.devices]
        return jax.make_mesh(tuple(sizes.values()), tuple(sizes), devices=chosen, axis_types=automatic)
    import numpy as np

    each = shape.devices // hosts().count
    of_all = [own for host in range(hosts().count) for own in jax.local_devices(process_index=host)[:each]]
    return jax.sharding.Mesh(np.reshape(of_all, tuple(sizes.values())), tuple(sizes), axis_types=automatic)
