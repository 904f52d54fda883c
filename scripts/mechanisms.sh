#!/usr/bin/env bash
# Writes docs/mechanisms.md anew from the declarations in attnjax/mechanisms.
set -euo pipefail
cd "$(dirname "$0")/.."
"${PYTHON:-python}" -c "from attnjax.mechanisms.describe import page; print(page(), end='')" > docs/mechanisms.md
