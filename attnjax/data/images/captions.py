"""Captions of image files: COCO's JSON, Karpathy's JSON, and Flickr8k's token file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attnjax.config import InputError, require
from attnjax.data.images.entries import ID, LIST, TEXT, by_id, entries

PARTS = {"train": "train", "restval": "train", "val": "validation", "test": "test"}
"""Karpathy's names of parts, and ours."""
SHOWN = 3


class Captioned(NamedTuple):
    """An image file, its captions, and the part that it belongs to; empty where nobody says so."""

    file: Path
    captions: tuple[str, ...]
    part: str = ""


def read_captions(path: Path, images: Path) -> list[Captioned]:
    """Returns the images that a file of captions names, in its order.

    Args:
      path: COCO's JSON ("images" and "annotations"), Karpathy's ("images" with "sentences", which says the
        part of each), or Flickr8k's lines "name.jpg#0<TAB>caption".
      images: the folder that the names of files are in.

    Raises:
      InputError: There is no such file or folder, it has another form, or a caption is without an image or an
        image without a caption.
    """
    require(path.is_file(), f"{path}: there is no such file")
    require(images.is_dir(), f"{images}: there is no such folder of images")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: it is no UTF-8 text (byte {error.start})") from None
    if not text.lstrip().startswith(("{", "[")):
        return _flickr(text, path, images)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: it is no JSON ({error})") from None
    forms = "COCO's (images, annotations) or Karpathy's (images with sentences)"
    listed = content.get("images") if isinstance(content, dict) else None
    require(isinstance(listed, list) and bool(listed), f"{path}: expected {forms}")
    return (_coco if "annotations" in content else _karpathy)(content, path, images)


def _coco(content: Mapping[str, Any], path: Path, images: Path) -> list[Captioned]:
    listed = by_id(path, "images", entries(path, content, "images", id=ID, file_name=TEXT))
    notes = entries(path, content, "annotations", image_id=ID, caption=TEXT)
    captions: dict[Any, list[str]] = {number: [] for number in listed}
    lost = [note["image_id"] for note in notes if note["image_id"] not in listed]
    require(not lost, _of_some(path, "captions without image: image_id", lost))
    for note in notes:
        captions[note["image_id"]].append(_clean(note["caption"]))
    found = [Captioned(images / listed[n]["file_name"], tuple(texts)) for n, texts in captions.items()]
    return _complete(found, path)


def _karpathy(content: Mapping[str, Any], path: Path, images: Path) -> list[Captioned]:
    found = []
    for number, image in enumerate(entries(path, content, "images", filename=TEXT, sentences=LIST)):
        part, folder = image.get("split") or "", image.get("filepath") or ""
        require(
            isinstance(folder, str),
            f"{path}: images[{number}] has filepath {folder!r}: expected a text",
        )
        require(
            not part or (isinstance(part, str) and part in PARTS),
            f"{path}: {image['filename']} has split {part!r}: expected one of {', '.join(PARTS)}",
        )
        sentences = entries(path, image, "sentences", raw=TEXT)
        texts = tuple(_clean(sentence["raw"]) for sentence in sentences)
        found.append(Captioned(images / folder / image["filename"], texts, PARTS.get(part, "")))
    return _complete(found, path)


def _flickr(text: str, path: Path, images: Path) -> list[Captioned]:
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        require(
            bool(tab) and "#" in name,
            f"{path}:{number}: {line[:40]!r}: expected name.jpg#0, a tab and a caption",
        )
        captions.setdefault(name.rpartition("#")[0], []).append(_clean(caption))
    require(bool(captions), f"{path}: it has no captions")
    return _complete([Captioned(images / name, tuple(texts)) for name, texts in captions.items()], path)


def _complete(found: list[Captioned], path: Path) -> list[Captioned]:
    """Returns what was found. Raises InputError where captions lack a file, or files a caption."""
    without = [one.file.name for one in found if not any(one.captions)]
    require(not without, _of_some(path, "images without caption:", without))
    lost = [one.file.name for one in found if not one.file.is_file()]
    require(not lost, _of_some(path, "captions without image: no file", lost))
    return found


def _of_some(path: Path, what: str, names: list[Any]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{path}: {what} {', '.join(map(str, names[:SHOWN]))}{more}"


def _clean(caption: str) -> str:
    return " ".join(caption.split())
