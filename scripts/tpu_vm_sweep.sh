#!/usr/bin/env bash
# Runs a sweep on every host of a TPU VM slice: a Ray worker on each, the sweep itself on the first.
#   scripts/tpu_vm_sweep.sh [--dry-run] NAME ZONE SWEEP --resources TPU=4 --runs /mnt/shared/runs
# All options of `attnjax sweep` may follow. attnjax[ray] must be installed on every host (pip install with
# --worker=all), and --runs name a folder that all of them see. Started again, it continues.
# Each host computes packs on its own chips, so libtpu is told that a process has no others to wait for. Ray asks
# for no token: whoever can reach its port inside the slice's network can run code there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/commands.sh"
PORT=${RAY_PORT:-6379}
CHIPS=${TPU_CHIPS:-2,2,1}  # Of one host, as libtpu counts them: 2,2,1 for four.

without_dry_run "$@"
set -- ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
[ $# -gt 2 ] || fail "usage: tpu_vm_sweep.sh [--dry-run] NAME ZONE SWEEP [options of attnjax sweep]"
name=$1 zone=$2
shift 2
about() { gcloud compute tpus tpu-vm describe "$name" --zone "$zone" --format "value($1)"; }
on() { local host=$1; shift; run gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker "$host" --command "$*"; }

if [ -n "$DRY" ]; then
    head=HEAD_IP hosts=2
else
    head=$(about 'networkEndpoints[0].ipAddress') hosts=$(about 'networkEndpoints.len()')
fi
alone="RAY_AUTH_MODE=disabled TPU_PROCESS_BOUNDS=1,1,1 TPU_CHIPS_PER_PROCESS_BOUNDS=$CHIPS"
on 0 "$alone ray start --head --port $PORT --disable-usage-stats"
for ((host = 1; host < hosts; host++)); do
    on "$host" "$alone ray start --address $head:$PORT --disable-usage-stats"
done
on 0 "RAY_AUTH_MODE=disabled attnjax sweep $(printf '%q ' "$@")--launcher ray --address $head:$PORT"
