#!/usr/bin/env bash
# Runs every finding, or those named: each shows that it still is as it was found, or fails.
#   scripts/findings.sh [NAME …]
# Each installs pinned public packages in a temporary folder: with all of them some minutes. Not part of CI.
set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

if [ $# -eq 0 ]; then
    for file in "$ROOT"/findings/*-*.sh; do set -- "$@" "$(basename "$file" .sh)"; done
fi
changed=0
for name in "$@"; do
    [ -f "$ROOT/findings/$name.sh" ] || fail "there is no finding $name: findings/README.md lists them"
    say "$name"
    bash "$ROOT/findings/$name.sh" || changed=$((changed + 1))
done
say "$# findings, $changed changed"
[ "$changed" -eq 0 ]
