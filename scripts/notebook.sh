#!/usr/bin/env bash
# Runs the notebook tutorial as a new user would, in an empty folder with attnjax and a kernel that pip installed, and
# writes the executed notebook and, made from it, its page of the site. Takes a few minutes.
#   scripts/notebook.sh
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

python=$(find_python)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
say "Installing attnjax and a kernel with $("$python" --version)"
"$python" -m venv "$scratch/environment"
PIP_CONSTRAINT=$ROOT/constraints.txt "$scratch/environment/bin/python" -m pip install -qq "$ROOT" ipykernel nbconvert
mkdir "$scratch/empty"
cd "$scratch/empty"
notebook() { env -u PYTHONPATH "$scratch/environment/bin/python" -m nbconvert --log-level WARN "$@"; }
say "Executing docs/tutorials/notebook.ipynb"
cp "$ROOT/docs/tutorials/notebook.ipynb" .  # Cells run where the notebook lies.
notebook --to notebook --execute --inplace notebook.ipynb
cp notebook.ipynb "$ROOT/docs/tutorials/"
notebook --to markdown notebook.ipynb --output-dir "$ROOT/docs/tutorials"
[ ! -x "$ROOT/.venv/bin/ruff" ] || "$ROOT/.venv/bin/ruff" format --quiet "$ROOT"/docs/tutorials/notebook.*
