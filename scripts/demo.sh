#!/usr/bin/env bash
# Trains the date translator and shows what it attends to, on a machine that has nothing but Python 3.11 or newer:
#   scripts/demo.sh [arguments of `attnjax run translation`, e.g. --train.steps 100]
# $PYTHON names the interpreter to use, if `python3` is not the one.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

python=$(find_python)
ensure_environment "$ROOT/.venv" "$python" ""
say "Running: attnjax run translation $*"
# The run folders lie in the checkout wherever this is called from; other paths in the arguments stay the caller's.
export ATTNJAX_RUNS="${ATTNJAX_RUNS:-$ROOT/runs}"
exec "$ROOT/.venv/bin/attnjax" run translation "$@"
