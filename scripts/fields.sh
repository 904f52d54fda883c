#!/usr/bin/env bash
# Trains each field, and prints one table: ours over seeds, the best without attention, the best possible.
#   scripts/fields.sh --quick                    a small preset of each, two seeds, at most 25 minutes
#   scripts/fields.sh --quick negation driving   some of them
#   scripts/fields.sh                            as the experiments are, three seeds: hours
# After Ctrl-C the same command continues. scripts/field_table.py says more (--help).
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

python=$(find_python)
ensure_environment "$ROOT/.venv" "$python" molecules,baselines,speech,summaries
export ATTNJAX_RUNS="${ATTNJAX_RUNS:-$ROOT/runs}"
exec "$ROOT/.venv/bin/python" "$ROOT/scripts/field_table.py" "$@"
