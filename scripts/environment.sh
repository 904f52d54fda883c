# Sourced by the other scripts: finds an interpreter and keeps a virtual environment at the pinned versions.
# Expects ROOT, the top of the checkout.

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

# is_python COMMAND [X.Y]: COMMAND runs, and is Python X.Y (without X.Y: 3.11 or newer). It is executed, not
# only looked up, because a version manager's shim may be on PATH for an interpreter that is not active.
is_python() {
    "$1" -c '
import sys
wanted = sys.argv[1:]
sys.exit(not ("%d.%d" % sys.version_info[:2] == wanted[0] if wanted else sys.version_info >= (3, 11)))
' ${2:+"$2"} >/dev/null 2>&1
}

# find_browser: prints the command of a Chromium, in which the tests open the page of `attnjax explain`.
find_browser() {
    local name
    for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable chrome; do
        ! command -v "$name" || return 0
    done
    return 1
}

# find_python [X.Y]: prints the command of a fitting interpreter, or fails and says what it looked for.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ] && [ -z "${1:-}" ]; then
        is_python "$PYTHON" || fail "PYTHON is '$PYTHON': it must be a Python 3.11 or newer that starts"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 ${1:+"python$1"} python3.11 python3.12 python3.13 python3.14 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/${1:-3.1[1-9]}*/bin/python; do
        if is_python "$candidate" ${1:+"$1"}; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    local named=python${1:-3.11 … python3.14}
    fail "no working Python ${1:-3.11 or newer} found (tried python3, $named and pyenv)"
}

# ensure_environment FOLDER PYTHON EXTRAS: FOLDER is a virtual environment that holds attnjax (editable) with
# EXTRAS (comma-separated, may be empty) at the versions of constraints.txt. A stamp makes a second call instant.
ensure_environment() {
    local folder=$1 python=$2 extras=$3
    local stamp state extra
    state=$(cd "$ROOT" && { printf '%s\n' "$ROOT"; cat constraints.txt pyproject.toml; } | cksum)
    for stamp in "$folder"/.attnjax-installed*; do
        [ -x "$folder/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] || continue
        for extra in ${extras//,/ }; do
            [[ ${stamp##*/.attnjax-installed}- = *-"$extra"-* ]] || continue 2
        done
        say "Environment ${folder#"$ROOT"/} is up to date"
        return
    done
    if ! is_python "$folder/bin/python" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
        say "Creating ${folder#"$ROOT"/} with $("$python" --version)"
        "$python" -m venv --clear "$folder" ||
            fail "'$python -m venv' failed: this script needs Python's venv and pip (on Debian: apt install python3-venv)"
    fi
    say "Installing attnjax${extras:+[$extras]} and the versions pinned in constraints.txt (about half a minute)"
    # Both variables: pip 25.3 and newer read the second one for what it installs to build the package.
    # Byte code of all modules would double the time: `compile_imports` makes that of the few that are imported.
    (cd "$ROOT" && PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$folder/bin/python" -m pip install -qq --no-compile --editable ".${extras:+[$extras]}") ||
        fail "pip could not install the pinned versions (its message is above)"
    compile_imports "$folder/bin/python"
    printf '%s\n' "$state" >"$folder/.attnjax-installed${extras:+-${extras//,/-}}"
}

# compile_imports PYTHON: keeps the byte code of all that attnjax imports, even where PYTHONDONTWRITEBYTECODE is set:
# without it every start would take several times as long.
compile_imports() {
    env -u PYTHONDONTWRITEBYTECODE JAX_PLATFORMS=cpu "$1" -c '
import contextlib, importlib, pkgutil
import attnjax
for module in pkgutil.walk_packages(attnjax.__path__, "attnjax."):
    if not module.name.endswith("__main__"):
        with contextlib.suppress(ImportError):  # what needs an extra that is not installed
            importlib.import_module(module.name)
'
}
