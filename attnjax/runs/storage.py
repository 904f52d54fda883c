"""The files at a URL (gs://…, s3://…, file://…). The only file that touches fsspec."""

from pathlib import Path
from typing import Any

from attnjax.config import InputError


def is_url(place: str) -> bool:
    """Returns True for a URL, False for a folder."""
    return "://" in place


class Storage:
    """The files below a URL, by names that begin there. Methods raise the errors of its kind of store.

    Raises:
      InputError: nothing opens such URLs here.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        kind = url.partition("://")[0]
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"--runs is {url}: {kind}:// cannot be opened here ({reason})") from None
        self._root = root.rstrip("/")

    def listed(self, below: str) -> dict[str, str]:
        """Returns the files whose names begin with `below`, and what marks their content."""
        self._files.invalidate_cache()
        top = f"{self._root}/{below}".rstrip("/")
        found = self._files.find(top, detail=True) if self._files.exists(top) else {}
        return {path[len(self._root) + 1 :]: _mark(info) for path, info in found.items()}

    def fetch(self, name: str, place: Path) -> None:
        """Copies a file from there to `place`."""
        self._files.get_file(f"{self._root}/{name}", str(place))

    def send(self, place: Path, name: str) -> str:
        """Copies `place` there and returns what marks its content. Raises FileNotFoundError if it is gone."""
        self._files.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(place), f"{self._root}/{name}")
        self._files.invalidate_cache()
        return _mark(self._files.info(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes | None:
        """Returns the content of a file, None where there is none."""
        path = f"{self._root}/{name}"
        return self._files.cat_file(path) if self._files.exists(path) else None

    def write(self, name: str, content: bytes) -> None:
        """Makes a file of this content, or replaces it."""
        self._files.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._root}/{name}", content)

    def remove(self, name: str) -> None:
        """Removes a file. Raises FileNotFoundError if there is none."""
        self._files.rm_file(f"{self._root}/{name}")


def _mark(info: dict[str, Any]) -> str:
    names = ("etag", "ETag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "created")
    return f"{info['size']} {next((info[name] for name in names if info.get(name)), '')}"
