#!/usr/bin/env bash
# A Ray task of one core computes with JAX on all of a machine's cores: what Ray sets for other libraries, XLA does not read.
#
# Guess: Ray gives a task with num_cpus=1 the environment OMP_NUM_THREADS=1 so that as many tasks as cores share a machine;
#   XLA's pool of threads has one thread then.
# Seen, ray 2.60.0, jax 0.10.2: OMP_NUM_THREADS is 1 and the pool, counted by its threads' names, has one for each core.
#   With NPROC=1 in the task's environment it has one.
# Who is hurt: whoever trains small models on Ray's CPU workers: tasks on each of n cores run n·n threads, which take turns.
# What helps: runtime_env={"env_vars": {"NPROC": "1"}}.
# Seen output on two cores (one shows no difference):
#   as Ray starts it: OMP_NUM_THREADS=1, cores 2, threads 2
#   with NPROC=1: OMP_NUM_THREADS=1, cores 2, threads 1
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages ray==2.60.0 jax==0.10.2

cat >threads.py <<'PYTHON'
import os
import sys

import ray

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)


def threads():
    import pathlib

    import jax

    jax.jit(lambda x: x @ x)(jax.numpy.ones((512, 512))).block_until_ready()
    names = [(task / "comm").read_text().strip() for task in pathlib.Path("/proc/self/task").iterdir()]
    return os.environ.get("OMP_NUM_THREADS"), len(os.sched_getaffinity(0)), names.count("tf_XLAEigen")


environment = dict(option.split("=") for option in sys.argv[1:]) | {"JAX_PLATFORMS": "cpu"}
task = ray.remote(num_cpus=1, runtime_env={"env_vars": environment})(threads)
print("OMP_NUM_THREADS={}, cores {}, threads {}".format(*ray.get(task.remote())))
PYTHON

cores=$("$PYTHON_WITH" -c 'import os; print(len(os.sched_getaffinity(0)))')
[ "$cores" -gt 1 ] || { echo "one core: nothing to see here"; exit 1; }
unset OMP_NUM_THREADS NPROC
expect "as Ray starts it" "$("$PYTHON_WITH" threads.py 2>/dev/null | tail -n 1)" "OMP_NUM_THREADS=1, cores $cores, threads $cores"
expect "with NPROC=1" "$("$PYTHON_WITH" threads.py NPROC=1 2>/dev/null | tail -n 1)" "OMP_NUM_THREADS=1, cores $cores, threads 1"
