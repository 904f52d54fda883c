#!/usr/bin/env bash
# An experiment on a TPU VM slice, from the queue to its result: every command is printed before it runs.
#   scripts/tpu_vm.sh create NAME ZONE TYPE [options of gcloud, such as --spot]   asks for the slice
#   scripts/tpu_vm.sh setup  NAME ZONE              waits for it, installs this checkout on every host
#   scripts/tpu_vm.sh run    NAME ZONE EXPERIMENT…  starts `attnjax run EXPERIMENT…` on every host,
#                                                   and goes on with one that was cut off
#   scripts/tpu_vm.sh follow NAME ZONE              shows what the first host prints, until Ctrl-C
#   scripts/tpu_vm.sh status NAME ZONE              the slice's state, and how the run ended (its exit code)
#   scripts/tpu_vm.sh fetch  NAME ZONE FROM [TO]    copies a folder of the first host here
#   scripts/tpu_vm.sh delete NAME ZONE              gives the slice back, whatever state it is in
#   scripts/tpu_vm.sh watch  NAME ZONE TYPE [options of gcloud] -- EXPERIMENT…
#                     creates, sets up, runs; asks again for a slice that was preempted; until the run has ended
# --dry-run anywhere before EXPERIMENT only prints. RUNTIME=… is the version of the VM (chosen by TYPE), PYTHON=3.12
# that of Python, POLL=60 how many seconds lie between two looks.
# A host keeps ~/attnjax.log, and ~/attnjax.exit once the run has ended. A preempted slice loses its disks: give
# the run `--runs gs://BUCKET/FOLDER`, or for several hosts a folder that all of them mount, and the next slice
# goes on from there. A sweep: scripts/tpu_vm_sweep.sh.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/commands.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
POLL=${POLL:-60} PYTHON=${PYTHON:-3.12}
USAGE="usage: tpu_vm.sh [--dry-run] create|setup|run|follow|status|fetch|delete|watch NAME ZONE …"

# A --dry-run that belongs to the experiment is left to it.
while [ "${1:-}" = --dry-run ]; do DRY=yes; shift; done
[ $# -gt 2 ] || fail "$USAGE"
verb=$1 name=$2 zone=$3
shift 3

QUEUE=(gcloud compute tpus queued-resources)
VM=(gcloud compute tpus tpu-vm)
on() { local hosts=$1; shift; run "${VM[@]}" ssh "$name" --zone "$zone" --worker "$hosts" --command "$*"; }

# here COMMAND…: what it prints on the first host, nothing printed here.
here() { "${VM[@]}" ssh "$name" --zone "$zone" --worker 0 --command "$*"; }

# The state of the request for the slice: WAITING_FOR_RESOURCES, ACTIVE, SUSPENDED, …; ABSENT without one, UNKNOWN
# where nobody answers.
state() {
    local answer
    if answer=$("${QUEUE[@]}" describe "$name" --zone "$zone" --format "value(state.state)" 2>&1); then
        echo "$answer"
    elif [[ $answer = *NOT_FOUND* ]]; then
        echo ABSENT
    else
        echo UNKNOWN
    fi
}

ALIVE='kill -0 "$(cat attnjax.pid 2>/dev/null)" 2>/dev/null'
# Whether the first host runs it: yes, no, or nothing where it does not answer.
running() { [ -n "$DRY" ] && echo no || here "$ALIVE && echo yes || echo no" || true; }

# What the first host's run ended with: an exit code; nothing while it runs.
ended() { here "cat attnjax.exit 2>/dev/null || true"; }

# The software of the VM, which belongs to the kind of chip.
runtime() {
    case $1 in
        v6e-*) echo v2-alpha-tpuv6e ;;
        v5p-*) echo v2-alpha-tpuv5 ;;
        v5litepod-*) echo v2-alpha-tpuv5-lite ;;
        v2-* | v3-* | v4-*) echo tpu-ubuntu2204-base ;;
        *) fail "no runtime is known for $1: set RUNTIME, or choose v2-, v3-, v4-, v5litepod-, v5p- or v6e-CORES" ;;
    esac
}

create() {
    local kind=$1 version
    shift
    version=${RUNTIME:-$(runtime "$kind")}
    run "${QUEUE[@]}" create "$name" --node-id "$name" --zone "$zone" --accelerator-type "$kind" \
        --runtime-version "$version" "$@"
}

# Returns once the slice is there; fails where it never will be.
await_slice() {
    local now
    [ -z "$DRY" ] || return 0
    while now=$(state); do
        case $now in
            ACTIVE) return ;;
            FAILED | SUSPENDING | SUSPENDED | DELETING | ABSENT) return 1 ;;
        esac
        say "$name is $now"
        sleep "$POLL"
    done
}

setup() {
    # The Python of these machines is older than attnjax takes: uv brings one.
    run git -C "$ROOT" archive --format tar.gz --output "$archive" HEAD &&
        run "${VM[@]}" scp "$archive" "$name:attnjax.tar.gz" --zone "$zone" --worker all &&
        on all "rm -rf attnjax && mkdir attnjax && tar -xzf attnjax.tar.gz -C attnjax &&" \
            "python3 -m pip install --quiet --user uv && python3 -m uv venv --quiet --clear --python $PYTHON env &&" \
            "python3 -m uv pip install --quiet --python env/bin/python ./attnjax 'jax[tpu]' gcsfs"
}

# The command outlives the connection. Where it runs already, it is left alone.
begin() {
    local command="env/bin/python -m attnjax run$(printf ' %q' "$@")"
    on all "$ALIVE || { rm -f attnjax.exit; nohup sh -c" \
        "$(printf %q "$command; echo \$? >attnjax.exit") >>attnjax.log 2>&1 </dev/null &" \
        "echo \$! >attnjax.pid; }"
}

delete() { run "${QUEUE[@]}" delete "$name" --zone "$zone" --force --quiet; }

# Asks for slices until one of them has ended the run. It takes over what is there already, so that it can be
# started again too.
watch() {
    local options=() now
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    [ ${#options[@]} -gt 0 ] && [ $# -gt 1 ] ||
        fail "usage: tpu_vm.sh watch NAME ZONE TYPE [options of gcloud] -- EXPERIMENT…"
    shift
    while :; do
        now=$([ -z "$DRY" ] && state || echo ABSENT)
        case $now in
            ABSENT) create "${options[@]}" ;;
            FAILED | SUSPENDING | SUSPENDED) say "$name is $now: asking for another"; delete; continue ;;
        esac
        if await_slice; then
            case $(running) in
                no) setup && begin "$@" || say "$name: trying again" ;;
            esac
            [ -z "$DRY" ] || return 0
            follow_run && return
        fi
        sleep "$POLL"
    done
}

# Returns once the run has its result; fails where it has to be started again.
follow_run() {
    local now code
    while now=$(state) && [[ $now = ACTIVE || $now = UNKNOWN ]]; do
        code=$(ended) || code=""
        case $code in
            "") [ "$(running)" != no ] || { say "the run was killed: it goes on"; return 1; } ;;
            0) say "the run has its result"; return ;;
            143) say "the run was stopped and has saved: it goes on"; return 1 ;;
            *) fail "the run ended with exit code $code: tpu_vm.sh follow $name $zone shows why" ;;
        esac
        sleep "$POLL"
    done
    say "$name is $now"
    return 1
}

say() { printf '==> %s\n' "$*"; }
archive=$(mktemp --suffix .tar.gz)
trap 'rm -f "$archive"' EXIT

case $verb in
    create)
        [ $# -gt 0 ] || fail "usage: tpu_vm.sh create NAME ZONE TYPE [options of gcloud]"
        create "$@"
        ;;
    setup) await_slice || fail "$name is $(state): delete it and create it again"; setup ;;
    run)
        [ $# -gt 0 ] || fail "usage: tpu_vm.sh run NAME ZONE EXPERIMENT [options of attnjax run]"
        begin "$@"
        ;;
    follow) on 0 "tail -n 100 -F attnjax.log" ;;
    status)
        run "${QUEUE[@]}" describe "$name" --zone "$zone" --format "value(state.state)"
        on 0 "cat attnjax.exit 2>/dev/null || { $ALIVE && echo running || echo nothing runs; }"
        ;;
    fetch)
        [ $# -gt 0 ] || fail "usage: tpu_vm.sh fetch NAME ZONE FROM [TO]"
        run "${VM[@]}" scp --recurse "$name:$1" "${2:-.}" --zone "$zone" --worker 0
        ;;
    delete) delete ;;
    watch) watch "$@" ;;
    *) fail "$USAGE" ;;
esac
