"""Image files as arrays of pixels. The only file that touches Pillow."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from attnjax.config import InputError, require

MOST_MEGAPIXELS = 50
"""Of an image; one with more is refused before it is decoded."""
LEAST_SIDE = 2
"""Pixels."""
SHOWN = 3
"""Of the files that cannot be used."""
_SIXTEEN_BITS = 257
"""The ratio of the greatest number of 16 bits to that of 8."""

Pixels = UInt8[np.ndarray, "Y X C"]


def read_image(path: Path, side: int | None = None, channels: int = 3, *, whole: bool = False) -> Pixels:
    """Returns the pixels of an image file, 0 to 255: red, green and blue, or grey where channels is 1.

    It is turned as its camera says. Transparent pixels lie on white, 16 bits become 8, CMYK becomes RGB by
    Pillow's plain formula, and of an animation the first picture counts.

    Args:
      path: of the file.
      side: pixels of both sides: the middle of the image is cut out as a square and resized; None: as it is.
      channels: 3 or 1.
      whole: whether all of the image is squeezed into the square, whatever its sides; else its middle is cut.

    Raises:
      InputError: It is no image, is broken, or has too few or too many pixels.
    """
    image = _decoded(path)
    image = _of_eight_bits(ImageOps.exif_transpose(image))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if side is not None:
        resized = Image.Image.resize if whole else ImageOps.fit
        image = resized(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def require_image(path: Path) -> None:
    """Raises InputError where the file is no image that `read_image` reads, by its header and checksums."""
    _opened(path).close()


def usable(
    files: Iterable[Path],
    *,
    leave_out: bool,
    option: str = "data.leave_out_broken",
    check: Callable[[Path], None] = require_image,
) -> tuple[list[bool], list[str]]:
    """Returns which files are images, and what is wrong with each of the others.

    Args:
      files: to look at.
      leave_out: whether others are left out; else they are refused.
      option: what leaves them out, for the error.
      check: raises InputError for one that cannot be used.

    Raises:
      InputError: Some cannot be used: their number and the first of them. Or none can.
    """
    fits, problems = [], []
    for file in files:
        try:
            check(file)
            fits.append(True)
        except InputError as error:
            fits.append(False)
            problems.append(str(error))
    if problems and (not leave_out or not any(fits)):
        advice = f" ({option} leaves them out)" if any(fits) else "; none is left"
        raise InputError(broken(problems, len(fits)) + advice)
    return fits, problems


def broken(problems: list[str], total: int) -> str:
    """Returns a line on files that cannot be used: how many of how many, and the first of them.

    >>> broken(["a.png: it is empty"], 20)
    '1 of 20 images cannot be used: a.png: it is empty'
    """
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
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
    return image


def _decoded(path: Path) -> Image.Image:
    image = _opened(path)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: it is broken ({error})") from None
    return image


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Returns the image with numbers up to 255; Pillow itself would cut greater ones off."""
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(np.clip((values + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS, 0, 255).astype(np.uint8))
