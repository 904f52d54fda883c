# Sourced by the findings: an environment of its own with pinned public packages, gone when the script ends.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"

# packages NAME==VERSION…: a temporary virtual environment that holds them and not attnjax; its interpreter is $PYTHON_WITH.
packages() {
    FOLDER=$(mktemp -d)
    trap 'rm -rf "$FOLDER"' EXIT
    "$(find_python)" -m venv "$FOLDER/venv"
    PYTHON_WITH=$FOLDER/venv/bin/python
    "$PYTHON_WITH" -m pip install -qq --disable-pip-version-check --no-compile "$@"
    cd "$FOLDER"
    printf '%s on Python %s\n' "$*" "$("$PYTHON_WITH" -c 'import platform; print(platform.python_version())')"
}

# expect WHAT SEEN EXPECTED: prints what is seen, and fails when it is no longer what was found.
expect() {
    printf '%s: %s\n' "$1" "$2"
    [ "$2" = "$3" ] || fail "$1 was $3 when this was found: the finding has changed"
}
