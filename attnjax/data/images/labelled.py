"""Images with labels: folders of files, IDX files and npz archives."""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from attnjax.config import InputError, require
from attnjax.data.images.files import read_image, usable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_IDX_BYTES = 8
"""The code of unsigned bytes in an IDX file."""


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size and their labels.

    Attributes:
      images: pixels, 0 to 255.
      labels: places in `names`.
      names: of the labels.
      notes: lines for the user, such as one on files that were left out.
    """

    images: UInt8[np.ndarray, "n Y X C"]
    labels: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def read_folder(folder: Path, *, side: int, channels: int = 3, leave_out: bool = False) -> LabelledImages:
    """Returns the images of a folder with a folder for each label, in the order of names.

    Args:
      folder: with the folders of labels; a file of another kind than images is passed over by its suffix.
      side: pixels, as of `read_image`.
      channels: as of `read_image`.
      leave_out: whether broken images are left out; `notes` says how many.

    Raises:
      InputError: There is no such folder, it has fewer than two labels, or images are broken.
    """
    require(folder.is_dir(), f"{folder}: there is no such folder")
    found = {
        place.name: sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
        for place in sorted(folder.iterdir())
        if place.is_dir()
    }
    names = [name for name, files in found.items() if files]
    require(
        len(names) > 1,
        f"{folder}: {len(names)} folders with images, expected one for each of two labels or more",
    )
    files = [(file, label) for label, name in enumerate(names) for file in found[name]]
    read = partial(read_image, side=side, channels=channels)
    images, notes = usable(read, [file for file, _ in files], leave_out=leave_out)
    labels = [label for file, label in files if file in images]
    pixels = np.stack(list(images.values()))
    return LabelledImages(pixels, np.array(labels, np.int32), tuple(names), tuple(notes))


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Returns the array of an IDX file of unsigned bytes, as MNIST's are, whether it is gzipped or not.

    Raises:
      InputError: There is no such file, or it is another.
    """
    require(path.is_file(), f"{path}: there is no such file")
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: it cannot be read ({error})") from None
    require(
        len(data) >= 4 and data[:2] == b"\0\0" and data[2] == _IDX_BYTES and 1 <= data[3] <= 4,
        f"{path}: it is no IDX file of unsigned bytes",
    )
    ranks = data[3]
    start = 4 + 4 * ranks
    require(len(data) >= start, f"{path}: it ends in its header, at {len(data)} bytes of {start}")
    shape = struct.unpack(f">{ranks}I", data[4:start])
    count = math.prod(shape)
    require(
        len(data) - start == count,
        f"{path}: it has {len(data) - start} bytes of numbers, its header says {count}",
    )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_idx_pair(images: Path, labels: Path) -> LabelledImages:
    """Returns grey images and their labels from two IDX files.

    Raises:
      InputError: They are no IDX files, or do not belong together.
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    return _checked(pixels, numbers, f"{images}, {labels}")


def read_npz(path: Path) -> LabelledImages:
    """Returns the images and labels of an npz archive with the arrays "images" and "labels".

    Images are [n, Y, X] or [n, Y, X, C], unsigned bytes; labels [n], whole numbers from 0.

    Raises:
      InputError: It is no such archive, or its arrays are others.
    """
    require(path.is_file(), f"{path}: there is no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ("images", "labels") if name not in archive]
            require(not missing, f"{path}: it lacks {', '.join(missing)}; it has {', '.join(archive.files)}")
            pixels, numbers = archive["images"], archive["labels"]
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: it is no npz archive of arrays ({error})") from None
    return _checked(pixels, numbers, str(path))


def _checked(images: np.ndarray, labels: np.ndarray, place: str) -> LabelledImages:
    shapes = f"images {images.dtype}{list(images.shape)}, labels {labels.dtype}{list(labels.shape)}"
    require(
        images.dtype == np.uint8
        and images.ndim in (3, 4)
        and labels.ndim == 1
        and len(images) == len(labels) > 0
        and np.issubdtype(labels.dtype, np.integer)
        and (images.ndim == 3 or images.shape[-1] in (1, 3)),
        f"{place}: {shapes}: expected bytes [n, Y, X] or [n, Y, X, 1 or 3] and as many whole numbers [n]",
    )
    require(int(labels.min()) >= 0, f"{place}: label {int(labels.min())}: expected 0 or more")
    pixels = images[..., None] if images.ndim == 3 else images
    names = tuple(map(str, range(int(labels.max()) + 1)))
    return LabelledImages(pixels, labels.astype(np.int32), names)
