# Sourced by the scripts that start work on other machines: they print every command, and can do only that.

DRY=""
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

# without_dry_run ARGUMENT…: takes --dry-run out of them, wherever it stands, into ARGUMENTS; with it nothing is
# executed from then on.
without_dry_run() {
    local argument
    ARGUMENTS=()
    for argument in "$@"; do
        if [ "$argument" = --dry-run ]; then DRY=yes; else ARGUMENTS+=("$argument"); fi
    done
}

show() { printf '+'; printf ' %q' "$@"; printf '\n'; }

# run COMMAND…: prints it and runs it.
run() { show "$@"; [ -n "$DRY" ] || "$@"; }

# quietly COMMAND…: as run, without what it prints.
quietly() { show "$@"; [ -n "$DRY" ] || "$@" >/dev/null; }

# start COMMAND…: as run, in the background; it ends with this script.
start() {
    show "$@"
    [ -n "$DRY" ] && return
    "$@" &
    trap 'kill $(jobs -p) 2>/dev/null' EXIT
}

# await HOST PORT: returns when something listens there, fails after a minute.
await() {
    local second
    [ -n "$DRY" ] && return
    for ((second = 0; second < 60; second++)); do
        (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null && return
        sleep 1
    done
    fail "nothing listens on $1:$2"
}
