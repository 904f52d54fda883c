"""The files of packages of Debian, PyPI and npm, fetched once into the user's cache and not installed."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnjax.config import user_cache


class NotFetched(RuntimeError):
    """Nothing comes of a package; the message is one line that names it and says why."""


@dataclass(frozen=True)
class PackageSource:
    """A place that packages come from.

    Attributes:
      tool: the program that fetches them.
      bringer: where the tool comes from.
      download: the command that writes one file into the working directory; the package's name comes last.
      unpack: the command that unpacks {archive} into {folder}.
      hint: what to look at when it fails.
    """

    tool: str
    bringer: str
    download: tuple[str, ...]
    unpack: tuple[str, ...]
    hint: str = "is there a network?"

    @property
    def has_tool(self) -> bool:
        """True if the tool is on this machine: pip in this environment, others on the path."""
        there = importlib.util.find_spec("pip") if self.tool == "pip" else shutil.which(self.tool)
        return there is not None


_ENSURED = "`python -m ensurepip` brings it"
_PIP = (sys.executable, *"-m pip download -q --disable-pip-version-check --no-deps -d .".split())
_UNZIP = (sys.executable, *"-m zipfile -e {archive} {folder}".split())
_UNTAR = tuple("tar --strip-components=1 -xzf {archive} -C {folder}".split())

DEBIAN = PackageSource(
    tool="apt-get",
    bringer="Debian and what is made of it have it",
    download=("apt-get", "download", "-q"),
    unpack=("dpkg-deb", "-x", "{archive}", "{folder}"),
    hint="is there a network, and has `apt-get update` been run?",
)
WHEEL = PackageSource("pip", _ENSURED, _PIP, _UNZIP)
SDIST = PackageSource("pip", _ENSURED, (*_PIP, "--no-binary", ":all:"), _UNTAR)
NPM = PackageSource(
    tool="npm",
    bringer="Node.js brings it",
    # By default it tries for minutes before it says that there is no network.
    download=tuple("npm pack --loglevel=error --fetch-retries=1".split()),
    unpack=_UNTAR,
)


@dataclass(frozen=True)
class Package:
    """A package whose files are read, and which is not installed.

    Attributes:
      name: as its source knows it, with the version where the source keeps old ones.
      megabytes: to fetch.
      source: where it comes from.
    """

    name: str
    megabytes: float
    source: PackageSource = DEBIAN

    @property
    def folder(self) -> Path:
        """The place of the package's files in the user's cache."""
        return corpora_folder() / "packages" / self.name

    def fetched(self, notify: Callable[[str], None]) -> Path:
        """Returns the folder with the package's files, which come from its source where they are not there.

        The folder appears whole or not at all.

        Raises:
          NotFetched: the tool is missing, or fails.
        """
        if self.folder.is_dir():
            return self.folder
        tool = self.source.tool
        if not self.source.has_tool:
            raise NotFetched(
                f"the package {self.name} comes with {tool}, which is not here: {self.source.bringer}"
            )
        notify(f"fetching the package {self.name} with {tool}, {self.megabytes:g} MB")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.folder.parent) as temporary:
            place = Path(temporary)
            (place / "files").mkdir()
            self._run([*self.source.download, self.name], place)
            (archive,) = (path for path in place.iterdir() if path.is_file())
            self._run([part.format(archive=archive, folder="files") for part in self.source.unpack], place)
            (place / "files").rename(self.folder)
        return self.folder

    def _run(self, command: Sequence[str], place: Path) -> None:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
        )
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            # npm's last line is on its log.
            said = [line for line in lines if not re.search(r"\blog\b", line, re.IGNORECASE)][-1:]
            reason = " ".join([*said, f"({self.source.hint})"])
            raise NotFetched(f"the package {self.name} cannot be had with {self.source.tool}: {reason}")


def corpora_folder() -> Path:
    """Returns the folder of the user's cache with corpora, and with the packages that they are made of."""
    return user_cache() / "corpora"
