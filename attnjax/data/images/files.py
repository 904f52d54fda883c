"""Image files as arrays of pixels. The only file that touches Pillow."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from attnjax.config import InputError, require
from attnjax.data.progress import with_progress

MOST_MEGAPIXELS = 50
"""Of an image; one with more is refused before it is decoded."""
LEAST_SIDE = 2
"""Pixels."""
SHOWN = 3
"""Of the files that cannot be used."""
READERS = 4
"""Threads that decode; each holds one image of up to `MOST_MEGAPIXELS`."""
_SIXTEEN_BITS = 257
"""The ratio of the greatest number of 16 bits to that of 8."""

Pixels = UInt8[np.ndarray, "Y X C"]
T = TypeVar("T")


def read_image(path: Path, side: int | None = None, channels: int = 3, *, whole: bool = False) -> Pixels:
    """Returns the pixels of an image file, 0 to 255: red, green and blue, or grey where channels is 1.

    It is turned as its camera says. Transparent pixels lie on white, 16 bits become 8, CMYK becomes RGB by
    Pillow's plain formula, and of an animation the first picture counts. Floats and whole numbers of 32 bits
    are refused: nothing says which of them is white.

    Args:
      path: of the file.
      side: pixels of both sides: the middle of the image is cut out as a square and resized; None: as it is.
      channels: 3 or 1.
      whole: whether all of the image is squeezed into the square, whatever its sides; else its middle is cut.

    Raises:
      InputError: It is no image, is broken, has too few or too many pixels, or not 8 or 16 bits each.
    """
    image = _of_eight_bits(_decoded(path))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if side is not None:
        resized = Image.Image.resize if whole else ImageOps.fit
        image = resized(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def require_image(path: Path) -> None:
    """Raises InputError where the file is no image that `read_image` reads; all of it is decoded."""
    read_image(path)


def usable(
    read: Callable[[Path], T],
    files: Sequence[Path],
    *,
    leave_out: bool,
    option: str = "data.leave_out_broken",
) -> tuple[dict[Path, T], list[str]]:
    """Returns what is read of each file that is an image, in their order, and a note where others are not.

    Reading that takes long is shown.

    Args:
      read: raises InputError for a file that cannot be used; what it returns is held.
      files: to read, a few at a time.
      leave_out: whether others are left out; else they are refused.
      option: what leaves them out, for the error.

    Raises:
      InputError: Some cannot be used: their number and the first of them. Or none can.
    """

    def tried(file: Path) -> T | InputError:
        try:
            return read(file)
        except InputError as error:
            return error

    with _no_warnings(), ThreadPoolExecutor(READERS, thread_name_prefix="images") as readers:
        results = list(with_progress(readers.map(tried, files), len(files), "reading images"))
    problems = [str(result) for result in results if isinstance(result, InputError)]
    found = {
        file: result
        for file, result in zip(files, results, strict=True)
        if not isinstance(result, InputError)
    }
    if not problems:
        return found, []
    told = _broken(problems, len(files))
    if leave_out and found:
        return found, [f"left out: {told}"]
    raise InputError(told + (f" ({option} leaves them out)" if found else "; none is left"))


def _broken(problems: list[str], total: int) -> str:
    """Returns a line on files that cannot be used: how many of how many, and the first of them."""
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return f"{len(problems)} of {total} images cannot be used: {'; '.join(problems[:SHOWN])}{more}"


def png(pixels: UInt8[np.ndarray, "Y X C"]) -> bytes:
    """Returns pixels as the bytes of a PNG file."""
    import io

    buffer = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(shown).save(buffer, "PNG")
    return buffer.getvalue()


def enlarged(pixels: UInt8[np.ndarray, "Y X C"], height: int, width: int) -> UInt8[np.ndarray, "y x C"]:
    """Returns pixels in another size, each as a block of its own colour."""
    rows, columns = (
        np.arange(new) * old // new for new, old in zip((height, width), pixels.shape[:2], strict=True)
    )
    return pixels[rows][:, columns]


def _opened(path: Path) -> Image.Image:
    """Returns the image with its header read and its size found right."""
    require(path.is_file(), f"{path}: there is no such file")
    require(path.stat().st_size > 0, f"{path}: it is empty, expected an image")
    try:
        with _no_warnings():
            image = Image.open(path)
            size = image.size
            with Image.open(path) as checked:
                checked.verify()
    except UnidentifiedImageError:
        raise InputError(f"{path}: it is no image that Pillow reads") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: it has more than {MOST_MEGAPIXELS} megapixels") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: it is broken ({error})") from None
    pixels = size[0] * size[1]
    require(
        pixels <= MOST_MEGAPIXELS * 1_000_000,
        f"{path}: it has {pixels / 1e6:.0f} megapixels, expected at most {MOST_MEGAPIXELS}",
    )
    require(
        min(size) >= LEAST_SIDE,
        f"{path}: it has {size[0]} × {size[1]} pixels, expected at least {LEAST_SIDE} × {LEAST_SIDE}",
    )
    # Pillow makes 32 bits of the 16 of a PGM file, and of a PNG file in its older releases.
    require(
        image.mode not in ("F", "LAB") and (image.mode != "I" or image.format in ("PNG", "PPM")),
        f"{path}: its pixels are of Pillow's mode {image.mode}, expected 8 or 16 bits of grey, RGB or CMYK",
    )
    return image


def _decoded(path: Path) -> Image.Image:
    """Returns all of the image, turned as its camera says."""
    with _opened(path) as image:
        try:
            image.load()
            return ImageOps.exif_transpose(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{path}: it is broken ({error})") from None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow's of large images, which are refused here.

    Filters belong to the process: around threads that set them it is entered first, so that what each
    restores, in whatever order, ignores them too, and the outer one restores what was.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Returns the image with numbers up to 255; Pillow itself would cut greater ones off."""
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(np.clip((values + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS, 0, 255).astype(np.uint8))
