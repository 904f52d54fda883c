#!/usr/bin/env bash
# Runs the tutorials that are notebooks as a new user would, each in an empty folder, with attnjax and a kernel that pip
# installed, and writes the executed notebooks and, made from them, their pages of the site. Takes a few minutes for each.
#   scripts/notebook.sh [NAME…]     as notebook, own_corpus; all of docs/tutorials without a name
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

tutorials=$ROOT/docs/tutorials
names=("$@")
[ $# -gt 0 ] || for file in "$tutorials"/*.ipynb; do names+=("$(basename "$file" .ipynb)"); done

python=$(find_python)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
say "Installing attnjax and a kernel with $("$python" --version)"
"$python" -m venv "$scratch/environment"
PIP_CONSTRAINT=$ROOT/constraints.txt "$scratch/environment/bin/python" -m pip install -qq "$ROOT" ipykernel nbconvert
# Commands in cells find attnjax, keep their runs beside the notebook, and print no colours, which a page would show as codes.
notebook() {
    env -u PYTHONPATH -u ATTNJAX_RUNS PATH="$scratch/environment/bin:$PATH" TTY_COMPATIBLE=0 COLUMNS=130 \
        "$scratch/environment/bin/python" -m nbconvert --log-level WARN "$@"
}
for name in "${names[@]}"; do
    say "Executing docs/tutorials/$name.ipynb"
    mkdir "$scratch/$name"
    cd "$scratch/$name"
    cp "$tutorials/$name.ipynb" .  # Cells run where the notebook lies.
    notebook --to notebook --execute --inplace "$name.ipynb"
    notebook --to notebook --inplace --coalesce-streams "$name.ipynb"  # What a command printed is one output, not lines cut anywhere.
    cp "$name.ipynb" "$tutorials/"
    notebook --to markdown "$name.ipynb" --output-dir "$tutorials"
    [ ! -x "$ROOT/.venv/bin/ruff" ] || "$ROOT/.venv/bin/ruff" format --quiet "$tutorials/$name".*
done
