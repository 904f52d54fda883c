#!/usr/bin/env bash
# A Ray task that asks for no GPU sees all of them, as if it had been given them.
#
# Guess: CUDA_VISIBLE_DEVICES is empty in a worker that asked for no GPU, as it is narrowed to one for a worker with one.
# Seen, Ray 2.60.0: the variable keeps the driver's value, while ray.get_gpu_ids() is empty.
# Who is hurt: whoever trains with JAX in such tasks: each process takes three quarters of the memory of each GPU that it
#   sees, beside the tasks to which these GPUs were given.
# What helps: set JAX_PLATFORMS=cpu, or the variable itself, in the environment of tasks that ask for none.
# No GPU is needed: the driver's value stands for two.
# Seen output:
#   asked for none: sees 0,1, given 0
#   asked for one: sees 0, given 1
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages ray==2.60.0

cat >tasks.py <<'PYTHON'
import os
import ray

ray.init(num_cpus=1, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=1)
def sees():
    return f"sees {os.environ.get('CUDA_VISIBLE_DEVICES')}, given {len(ray.get_gpu_ids())}"

print(ray.get(sees.remote()))
print(ray.get(sees.options(num_gpus=1).remote()))
PYTHON

mapfile -t seen < <(CUDA_VISIBLE_DEVICES=0,1 "$PYTHON_WITH" tasks.py 2>/dev/null)
expect "asked for none" "${seen[0]}" "sees 0,1, given 0"
expect "asked for one" "${seen[1]}" "sees 0, given 1"
