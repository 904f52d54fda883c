"""Drawn objects lie in their boxes; COCO's JSON is read with what is wrong with it named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attnjax.config import InputError
from attnjax.data.images.boxes import own_objects, read_boxes
from attnjax.data.images.canvases import CROWDED, HELD_OUT, Canvases
from attnjax.data.images.config import DetectionData
from attnjax.data.images.objects import drawn_objects
from attnjax.data.images.scenes import COLOURS


@pytest.mark.parametrize("kind", ["shapes", "digits"])
def test_boxes_are_as_tight_as_they_can_be(kind: Any) -> None:
    data = DetectionData(kind=kind, noise=0.0)
    made = drawn_objects(data, 20, np.random.default_rng(0))
    drawn = np.isin(made.images, [list(COLOURS.values())]).all(-1) & (made.images.max(-1) > 100)
    for pixels, boxes, present in zip(drawn, made.boxes, made.present, strict=True):
        covered = np.zeros_like(pixels)
        for x, y, width, height in boxes[present] * data.side:
            left, top, right, bottom = np.rint([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            own = slice(int(top), int(bottom)), slice(int(left), int(right))
            assert not covered[own].any()
            covered[own] = True
            inside = pixels[own]
            assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert pixels.any()
        assert not (pixels & ~covered).any()
    assert made.present[:, 0].all()
    assert not made.boxes[~made.present].any()


def test_the_pixels_of_objects_are_known_and_tissue_may_have_none() -> None:
    for kind in ("shapes", "digits"):
        made = drawn_objects(DetectionData(kind=kind, noise=0.0), 8, np.random.default_rng(1))  # type: ignore[arg-type]
        coloured = np.isin(made.images, [list(COLOURS.values())]).all(-1) & (made.images.max(-1) > 100)
        np.testing.assert_array_equal(coloured, made.owner > 0)
    data = DetectionData(kind="lesions", objects=2)
    made = drawn_objects(data, 60, np.random.default_rng(1))
    counts = made.present.sum(1)
    assert (counts == 0).any()
    assert (counts == 2).any()
    for owner, boxes, present in zip(made.owner, made.boxes, made.present, strict=True):
        for number in np.flatnonzero(present):
            rows, columns = np.nonzero(owner == number + 1)
            x, y, width, height = boxes[number] * data.side
            assert (columns.min(), columns.max() + 1) == pytest.approx(
                (x - width / 2, x + width / 2), abs=1e-3
            )
            assert (rows.min(), rows.max() + 1) == pytest.approx((y - height / 2, y + height / 2), abs=1e-3)
    spots = made.owner > 0
    pixels = made.images[..., 0].astype(float)
    # Vessels are as bright, so that the brightest pixel of an image tells little.
    brightest = pixels.reshape(len(pixels), -1).max(1)
    assert brightest[counts == 0].max() > brightest[counts > 0].min()
    assert pixels[spots].mean() > pixels[~spots].mean() + 25


def test_a_step_has_images_of_its_own_and_tests_more_objects() -> None:
    canvases = Canvases(DetectionData(evaluation_examples=8), batch_size=4)
    assert (canvases.batch(1)["images"] == canvases.batch(1)["images"]).all()
    assert (canvases.batch(1)["images"] != canvases.batch(2)["images"]).any()
    counts = {name: part.present.sum(1) for name, part in canvases.tests.items()}
    assert counts[HELD_OUT].max() <= 3 < counts[CROWDED].max() <= 5


def own_images(folder: Path, count: int = 8, **changes: Any) -> DetectionData:
    """Images of 20 × 10 pixels with a cat in each but the last; `changes` are made in the annotations."""
    for number in range(count):
        Image.new("RGB", (20, 10), (20 * number, 0, 0)).save(folder / f"{number}.png")
    notes = [
        {"id": 10 + n, "image_id": n, "category_id": 7, "bbox": [5, 2, 10, 4], "iscrowd": 0}
        for n in range(count - 1)
    ]
    notes[1] |= changes
    write(folder / "boxes.json", count, notes)
    return DetectionData(train=folder / "boxes.json", side=24, holdout=0.25)


def write(path: Path, count: int, notes: list[dict[str, Any]], first: int = 0) -> None:
    images = [
        {"id": n, "file_name": f"{n}.png", "width": 20, "height": 10} for n in range(first, first + count)
    ]
    content = {"images": images, "annotations": notes, "categories": [{"id": 7, "name": "cat"}]}
    path.write_text(json.dumps(content))


def test_own_images_are_squeezed_with_their_boxes_and_none_is_lost(tmp_path: Path) -> None:
    data = own_images(tmp_path)
    parts, names, notes = own_objects(data)
    assert names == ("cat",)
    assert {name: len(part.images) for name, part in parts.items()} == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    reds = sorted(int(red) for part in parts.values() for red in part.images[:, 0, 0, 0])
    assert reds == [20 * number for number in range(8)]
    boxes = np.concatenate([part.boxes[part.present] for part in parts.values()])
    np.testing.assert_allclose(boxes, [[0.5, 0.4, 0.5, 0.4]] * 7, rtol=1e-6)
    assert notes == ["boxes.json: 1 of 8 images have no boxes: 7.png"]
    crowd = own_objects(own_images(tmp_path, iscrowd=1))[2]
    assert crowd[1] == "boxes.json: 1 boxes of crowds are left out"


def test_official_parts_stay_and_share_no_image(tmp_path: Path) -> None:
    own_images(tmp_path, 12)
    note = {"id": 1, "image_id": 8, "category_id": 7, "bbox": [0, 0, 2, 2]}
    write(tmp_path / "test.json", 4, [note], first=8)
    write(tmp_path / "train.json", 8, [note | {"image_id": 0}])
    data = DetectionData(train=tmp_path / "train.json", test=tmp_path / "test.json", side=24)
    parts = own_objects(data)[0]
    assert parts["test"].images[:, 0, 0, 0].tolist() == [160, 180, 200, 220]
    assert len(parts["train"].images) + len(parts["validation"].images) == 8
    with pytest.raises(InputError, match=r"data.test: images that another part has too: 0.png, 1.png"):
        own_objects(DetectionData(train=tmp_path / "boxes.json", test=tmp_path / "train.json", side=24))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"category_id": 8},
            r"boxes.json: annotation 2 \(id 11\) has category_id 8, which nothing is; 1 of 7",
        ),
        ({"image_id": 99}, r"annotation 2 \(id 11\) has image_id 99, which nothing is"),
        ({"bbox": [5, 2, 0, 4]}, r"bbox \[5, 2, 0, 4\]: expected left, top, width and height, the last two"),
        ({"bbox": [5, 2, 16.5, 4]}, r"it reaches out of its image of 20 × 10 pixels"),
        ({"bbox": "here"}, r"boxes.json: annotations\[1\] has bbox here: expected a list"),
        ({"bbox": [1, 2, 3]}, r"\(id 11\) has bbox \[1, 2, 3\]: expected four numbers: left, top, width"),
        ({"bbox": [1, 2, None, 3]}, r"bbox \[1, 2, None, 3\]: expected four numbers"),
        ({"image_id": None}, r"annotations\[1\] has image_id None: expected a whole number or a text"),
    ],
)
def test_a_bad_annotation_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    own_images(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        read_boxes(tmp_path / "boxes.json")


def test_bad_files_are_one_line_and_counted(tmp_path: Path) -> None:
    data = own_images(tmp_path)
    (tmp_path / "3.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(InputError, match=r"1 of 8 images cannot be used: .*3.png"):
        own_objects(data)
    kept = DetectionData(train=data.train, side=24, leave_out_broken=True)
    parts, _, notes = own_objects(kept)
    assert sum(len(part.images) for part in parts.values()) == 7
    assert notes[1].startswith("left out: 1 of 8 images cannot be used")
    content = json.loads((tmp_path / "boxes.json").read_text())
    for name in ("images", "categories"):
        twice = content | {name: [*content[name], content[name][0]]}
        (tmp_path / "twice.json").write_text(json.dumps(twice))
        with pytest.raises(InputError, match=rf"twice.json: two of {name} have the id [07]: expected one"):
            read_boxes(tmp_path / "twice.json", tmp_path)
    (tmp_path / "3.png").unlink()
    with pytest.raises(InputError, match=r"boxes.json: images without file: 3.png"):
        own_objects(data)
    (tmp_path / "boxes.json").write_text("{")
    with pytest.raises(InputError, match=r"boxes.json: it is no JSON"):
        own_objects(data)
    (tmp_path / "boxes.json").write_text("{}")
    with pytest.raises(InputError, match=r"boxes.json: expected COCO's form"):
        own_objects(data)
    with pytest.raises(InputError, match=r"data.test needs data.train"):
        DetectionData(test=tmp_path / "boxes.json")
    with pytest.raises(InputError, match=r"data.kind is 'cars': expected one of shapes, digits"):
        DetectionData(kind="cars")  # type: ignore[arg-type]
