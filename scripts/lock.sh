#!/usr/bin/env bash
# Writes constraints.txt anew: the newest versions that pyproject.toml allows, for every supported Python, one file.
#   scripts/lock.sh [arguments of `uv pip compile`, e.g. --upgrade-package jax]
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

python=$(find_python)
ensure_environment "$ROOT/.venv" "$python" ""
say "Resolving with uv"
"$ROOT/.venv/bin/python" -m pip install -qq uv
resolved=$(mktemp)
trap 'rm -f "$resolved"' EXIT
cp "$ROOT/constraints.txt" "$resolved" 2>/dev/null || true
(cd "$ROOT" && .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header \
    --no-annotate "$@" pyproject.toml --output-file "$resolved" >/dev/null)
{
    echo "# Written by scripts/lock.sh; edit pyproject.toml instead."
    # The peers are compared with on CPU, so CUDA's packages stay unpinned. Without torch's local version the
    # pin is one that every index has; an index of CPU builds gives its own.
    grep -vE '^(nvidia-|cuda-|triton=)' "$resolved" | sed -E 's/^torch==([0-9.]+).*$/torch==\1/'
} >"$ROOT/constraints.txt"
say "Wrote constraints.txt ($(wc -l <"$ROOT/constraints.txt") lines)"
