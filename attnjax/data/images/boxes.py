"""Boxes of image files in COCO's JSON, and the parts of a user's images."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnjax.config import InputError, require
from attnjax.data.images.captions import SHOWN
from attnjax.data.images.config import DetectionData
from attnjax.data.images.entries import ID, LIST, NUMBER, TEXT, by_id, entries
from attnjax.data.images.files import read_image, usable
from attnjax.data.images.objects import Objects

_FORM = (
    "COCO's form: images (id, file_name, width, height), annotations (image_id, category_id, bbox) and "
    "categories (id, name)"
)
_OUTSIDE = 1.0
"""Pixels by which a box may reach beyond its image; COCO's own do, by rounding."""


class Boxed(NamedTuple):
    """An image file and the objects in it.

    Attributes:
      file: of the image.
      names: of the labels of the objects.
      boxes: of each the centre's x and y, width and height, in shares of the image.
    """

    file: Path
    names: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]


def read_boxes(path: Path, images: Path | None = None) -> tuple[list[Boxed], list[str]]:
    """Returns the images that a file of boxes names, in its order, and notes on what is not as usual.

    Images without boxes are kept: they say where nothing is. Crowds, of which a box holds many, are left out.
    Both are counted in the notes.

    Args:
      path: COCO's JSON.
      images: the folder that the names of files are in; None: that of `path`.

    Raises:
      InputError: There is no such file, it has another form, or a box has no size or lies outside its image.
    """
    folder = path.parent if images is None else images
    require(path.is_file(), f"{path}: there is no such file")
    require(folder.is_dir(), f"{folder}: there is no such folder of images")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: it is no JSON ({error})") from None
    require(isinstance(content, dict) and bool(content.get("images")), f"{path}: expected {_FORM}")
    return _read(content, path, folder)


def _read(content: Mapping[str, Any], path: Path, folder: Path) -> tuple[list[Boxed], list[str]]:
    images = entries(path, content, "images", id=ID, file_name=TEXT, width=NUMBER, height=NUMBER)
    categories = by_id(path, "categories", entries(path, content, "categories", id=ID, name=ID))
    notes = entries(path, content, "annotations", image_id=ID, category_id=ID, bbox=LIST)
    names = {key: str(one["name"]) for key, one in categories.items()}
    sizes = {
        key: (float(one["width"]), float(one["height"])) for key, one in by_id(path, "images", images).items()
    }
    found: dict[Any, list[tuple[str, tuple[float, ...]]]] = {key: [] for key in sizes}
    problems, crowds = [], 0
    for number, note in enumerate(notes, 1):
        label, image = names.get(note["category_id"]), note["image_id"]
        if note.get("iscrowd"):
            crowds += 1
            continue
        where = f"annotation {number} (id {note.get('id', '?')})"
        if label is None or image not in found:
            what = "category_id" if label is None else "image_id"
            problems.append(f"{where} has {what} {note[what]!r}, which nothing is")
        elif wrong := _wrong(note["bbox"], sizes[image]):
            problems.append(f"{where} has bbox {note['bbox']}: {wrong}")
        else:
            found[image].append((label, _shares(note["bbox"], sizes[image])))
    require(not problems, f"{path}: {_some(problems)}; {len(problems)} of {len(notes)} annotations")
    listed = [Boxed(folder / one["file_name"], *_columns(found[one["id"]])) for one in images]
    lost = [one.file.name for one in listed if not one.file.is_file()]
    require(not lost, f"{path}: images without file: {_some(lost)}")
    empty = [one.file.name for one in listed if not one.boxes]
    require(len(empty) < len(listed), f"{path}: none of {len(listed)} images has a box, expected some")
    told = (
        [f"{path.name}: {len(empty)} of {len(listed)} images have no boxes: {_some(empty)}"] if empty else []
    )
    told += [f"{path.name}: {crowds} boxes of crowds are left out"] if crowds else []
    return listed, told


def _columns(objects: list[tuple[str, tuple[float, ...]]]) -> Any:
    return tuple(name for name, _ in objects), tuple(box for _, box in objects)


def _wrong(box: Sequence[Any], size: tuple[float, float]) -> str | None:
    """Returns what is wrong with a box of left, top, width and height."""
    if len(box) != 4 or not all(isinstance(value, NUMBER) for value in box):
        return "expected four numbers: left, top, width and height"
    left, top, width, height = box
    if not (width > 0 and height > 0):
        return "expected left, top, width and height, the last two above 0"
    inside = min(left, top) >= -_OUTSIDE and left + width <= size[0] + _OUTSIDE
    if not inside or top + height > size[1] + _OUTSIDE:
        return f"it reaches out of its image of {size[0]:g} × {size[1]:g} pixels"
    return None


def _shares(box: Sequence[float], size: tuple[float, float]) -> tuple[float, ...]:
    left, top, width, height = map(float, box)
    return (left + width / 2) / size[0], (top + height / 2) / size[1], width / size[0], height / size[1]


def own_objects(data: DetectionData) -> tuple[dict[str, Objects], tuple[str, ...], list[str]]:
    """Returns a user's images by part, the names of labels, and notes on what was left out.

    Images are held out at random, by the seed, for parts that are not given.

    Raises:
      InputError: A file cannot be read, images are broken, a part is empty, or it has a label that training
        has not.
    """
    assert data.train is not None
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    parts: dict[str, list[Boxed]] = {}
    pixels: dict[Path, np.ndarray] = {}
    notes: list[str] = []
    read = partial(read_image, side=data.side, whole=True)
    for part, path in given.items():
        if path is None:
            continue
        found, own = read_boxes(path, data.images)
        fit, left_out = usable(read, [one.file for one in found], leave_out=data.leave_out_broken)
        pixels |= fit
        notes += own + left_out
        parts[part] = [one for one in found if one.file in fit]
    order = np.random.default_rng(data.seed).permutation(len(parts["train"])).tolist()
    held, train = max(1, round(data.holdout * len(order))), parts["train"]
    for part in ("validation", "test"):
        if part not in parts:
            rows, order = order[:held], order[held:]
            parts[part] = [train[row] for row in rows]
    parts["train"] = [train[row] for row in sorted(order)]
    require(
        any(one.boxes for one in parts["train"]),
        f"{data.train}: of {len(train)} images {len(order)} are left to train on, expected some with boxes",
    )
    _require_apart(parts)
    names = sorted({name for one in parts["train"] for name in one.names})
    for part, listed in parts.items():
        new = sorted({name for one in listed for name in one.names} - set(names))
        where = f"{given[part] or data.train}: images for {part}"
        require(not new, f"{where} have the label {_some(new)}, which no image to train on has")
    loaded = {part: _loaded(listed, names, pixels) for part, listed in parts.items()}
    return loaded, tuple(names), notes


def _require_apart(parts: Mapping[str, list[Boxed]]) -> None:
    """Raises InputError where an image is in two parts."""
    seen: dict[Path, str] = {}
    for part, own in parts.items():
        both = [one.file.name for one in own if seen.get(one.file.resolve(), part) != part]
        require(not both, f"data.{part}: images that another part has too: {_some(both)}")
        seen |= {one.file.resolve(): part for one in own}


def _loaded(images: list[Boxed], names: Sequence[str], pixels: Mapping[Path, np.ndarray]) -> Objects:
    most = max(1, max(len(one.names) for one in images))
    labels, boxes = np.zeros((len(images), most), np.int32), np.zeros((len(images), most, 4), np.float32)
    present = np.zeros((len(images), most), bool)
    for row, one in enumerate(images):
        count = len(one.names)
        labels[row, :count] = [names.index(name) for name in one.names]
        boxes[row, :count] = np.reshape(one.boxes, (count, 4))
        present[row, :count] = True
    whole = np.stack([pixels[one.file] for one in images])
    owner = np.zeros(whole.shape[:3], np.uint8)
    for own, one in zip(owner, images, strict=True):
        for number, (x, y, width, height) in enumerate(one.boxes, 1):
            rows, columns = (
                slice(int((middle - size / 2) * side), max(1, round((middle + size / 2) * side)))
                for middle, size, side in zip((y, x), (height, width), own.shape, strict=True)
            )
            own[rows, columns] = min(number, np.iinfo(own.dtype).max)
    return Objects(whole, labels, boxes, present, owner)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
