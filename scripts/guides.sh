#!/usr/bin/env bash
# Applies the examples of the guides in CONTRIBUTING.md to a clone of the last commit and runs the tests that they touch.
#   scripts/guides.sh
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"
PYTHON=${PYTHON:-$ROOT/.venv/bin/python}

clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone --quiet "$ROOT" "$clone"
cd "$clone"
for diff in docs/guides/*.diff; do
    say "applying $diff"
    git apply "$diff"
done
export PYTHON PYTHONPATH=$clone
bash scripts/mechanisms.sh
for name in longhorn longnet relu; do
    "$PYTHON" -m attnjax show "$name" | head -1
done
"$PYTHON" -m attnjax list
"$PYTHON" -m ruff check attnjax experiments tests
"$PYTHON" -m pytest -q attnjax/ops/linear/members/longhorn.py attnjax/ops/normalizers/relu.py attnjax/nn/attention/recipes.py \
    tests/ops/linear/test_members.py tests/ops/linear/test_members_inputs.py tests/ops/test_normalizers.py \
    tests/nn/attention/test_composed.py tests/mechanisms tests/tasks/test_majority.py tests/sweeps/test_shipped_sweeps.py \
    tests/pretrained/test_decoders.py tests/test_documents.py::test_the_guide_has_a_row_for_each_family \
    -k "longhorn or longnet or relu or page or majority or label or shipped or sweep or recipes or stablelm or each_family"
