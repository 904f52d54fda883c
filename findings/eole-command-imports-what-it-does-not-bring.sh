#!/usr/bin/env bash
# After `pip install eole` none of its commands starts: they import aiohttp, which the package does not ask for.
#
# Guess: `eole train --help` prints its options, as the packages that `pip` brings are all that the command needs.
# Seen, eole 0.6.4 with torch 2.13.0 (Python 3.11): every command ends with ModuleNotFoundError, `eole --help` too. The
#   command imports the files of all its tools, and one of them, which loads a server, imports aiohttp at its top.
# Who is hurt: whoever installs it in a clean environment, in a container or CI; where transformers' or datasets' extras
#   are, aiohttp happens to be there.
# What helps: `pip install aiohttp`.
# Seen output:
#   the package asks for aiohttp: no
#   eole --help, as installed: No module named 'aiohttp'
#   eole --help, with aiohttp: starts
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages torch==2.13.0 eole==0.6.4

asks=$("$PYTHON_WITH" -c "
from importlib.metadata import requires
print('yes' if any(one.lower().startswith('aiohttp') for one in requires('eole')) else 'no')")
started() {
    if said=$("$PYTHON_WITH" -W ignore -m eole.bin.main --help 2>&1); then echo starts; else echo "${said##*ModuleNotFoundError: }"; fi
}
bare=$(started)
"$PYTHON_WITH" -m pip install -qq --disable-pip-version-check --no-compile aiohttp==3.12.15
expect "the package asks for aiohttp" "$asks" no
expect "eole --help, as installed" "$bare" "No module named 'aiohttp'"
expect "eole --help, with aiohttp" "$(started)" starts
