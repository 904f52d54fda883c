#!/usr/bin/env bash
# Sets up what the tests need and runs every check: ruff, mypy, pytest with the doctests of attnjax.
#   scripts/test.sh [--oracles] [--slow] [--lint | --no-lint] [--python X.Y] [ROOM…] [arguments of pytest]
# ROOM           run only the tests and doctests of a room, without the linters: ops, nn, train, cli, contracts, …
# --oracles      also install the peers (torch, keras) that tests compare with, and fetch small pretrained models
# --slow         also run the tests marked slow
# --lint         run the linters only; --no-lint: the tests only
# --python X.Y   run the tests (not the linters) on that Python, in an environment of its own, .venv-X.Y
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

extras=test version="" lint=also selection=() rooms=()
while [ $# -gt 0 ]; do
    case $1 in
        --oracles) extras=test,oracles ;;
        --slow) selection=(-m "not gpu") ;;
        --lint) lint=only ;;
        --no-lint) lint=none ;;
        --python) version=${2:?--python needs a version such as 3.12}; shift ;;
        -* | *[!a-z_]*) break ;;
        *)
            found=()
            for folder in "tests/$1" "attnjax/$1"; do
                [ ! -d "$ROOT/$folder" ] || found+=("$folder")
            done
            [ ${#found[@]} -gt 0 ] || fail "no room $1: neither tests/$1 nor attnjax/$1 is a folder"
            rooms+=("${found[@]}")
            ;;
    esac
    shift
done

python=$(find_python $version)
folder=$ROOT/.venv${version:+-$version}
ensure_environment "$folder" "$python" "$extras"

if [[ $extras = *oracles* && $lint != only ]]; then
    "$ROOT/scripts/assets.sh"
fi
cd "$ROOT"
if [ -z "$version" ] && [ ${#rooms[@]} -eq 0 ] && [ "$lint" != none ]; then
    say "ruff check"
    "$folder/bin/python" -m ruff check .
    say "ruff format --check"
    "$folder/bin/python" -m ruff format --check .
    say "mypy"
    "$folder/bin/python" -m mypy
fi
[ "$lint" != only ] || exit 0
find_browser >/dev/null ||
    say "NOT TESTED in a browser: the page of attnjax explain (apt install chromium, or set CHROMIUM)"
say "pytest on $("$folder/bin/python" --version)"
# Most of a test's time is one thread that compiles: a process for each core. They keep the byte code of the peers:
# without it each process that imports torch and transformers takes six seconds more.
exec env -u PYTHONDONTWRITEBYTECODE "$folder/bin/python" -m pytest --numprocesses auto --dist worksteal ${selection[@]+"${selection[@]}"} \
    ${rooms[@]+"${rooms[@]}"} "$@"
