#!/usr/bin/env bash
# Builds the site into site/: the pages of docs/, and the reference from docstrings. A broken link or name is an error.
#   scripts/docs.sh [arguments of `mkdocs build`]
#   scripts/docs.sh serve [arguments of `mkdocs serve`]     shows it at 127.0.0.1:8000, anew whenever a page changes
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

command=build
if [ "${1:-}" = serve ]; then command=serve && shift; fi

python=$(find_python)
ensure_environment "$ROOT/.venv" "$python" docs
cd "$ROOT"
say "mkdocs $command --strict"
# MkDocs' theme would print what it thinks of MkDocs' future.
NO_MKDOCS_2_WARNING=1 exec "$ROOT/.venv/bin/python" -m mkdocs "$command" --strict "$@"
