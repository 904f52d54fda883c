#!/usr/bin/env bash
# Runs a sweep on every node of a SLURM job: a Ray worker on each, the sweep itself on the first.
#   sbatch --nodes 4 --gpus-per-node 8 scripts/slurm_sweep.sh heads_dims_dropout --resources GPU=1
#   scripts/slurm_sweep.sh --dry-run SWEEP …     only prints the commands
# All options of `attnjax sweep` may follow. attnjax[ray] must be installed, and the runs folder lie, where all
# nodes see them. A job that ends early loses nothing: the same command continues.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/commands.sh"
PORT=${RAY_PORT:-6379}

without_dry_run "$@"
set -- ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
[ $# -gt 0 ] || fail "usage: slurm_sweep.sh [--dry-run] SWEEP [options of attnjax sweep]"
if [ -n "${SLURM_JOB_NODELIST:-}" ]; then
    mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
else
    [ -n "$DRY" ] || fail "not inside a SLURM job: submit this script with sbatch (or give --dry-run)"
    nodes=(NODE1 NODE2)
fi

on() { local node=$1; shift; start srun --overlap --nodes 1 --ntasks 1 --nodelist "$node" "$@"; }

# Whoever can reach Ray's port can run code as this user, so it asks for a token, kept in the home folder that
# all nodes share.
export RAY_AUTH_MODE=token
quietly ray get-auth-token --generate
head=${nodes[0]}
on "$head" ray start --head --node-ip-address "$head" --port "$PORT" --disable-usage-stats --block
await "$head" "$PORT"
for node in "${nodes[@]:1}"; do
    on "$node" ray start --address "$head:$PORT" --disable-usage-stats --block
done
run attnjax sweep "$@" --launcher ray --address "$head:$PORT"
