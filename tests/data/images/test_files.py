"""Image files: what they hold, by hand; what is none is named and counted."""

import gzip
import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnjax.config import InputError
from attnjax.data.images import files
from attnjax.data.images.captions import read_captions
from attnjax.data.images.entries import ID, LIST, entries
from attnjax.data.images.files import png, read_image, require_image, usable
from attnjax.data.images.labelled import read_folder, read_idx, read_idx_pair, read_npz


def saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_pixels_come_as_bytes_whatever_the_file_holds(tmp_path: Path) -> None:
    colours = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "rgb.png", colours)), colours)
    (tmp_path / "own.png").write_bytes(png(colours))
    np.testing.assert_array_equal(read_image(tmp_path / "own.png"), colours)
    wide = np.array([[0, 257, 65535], [128, 129, 40000]], np.uint16)
    read = read_image(saved(tmp_path / "16.png", wide), channels=1)[..., 0]
    np.testing.assert_array_equal(read, [[0, 1, 255], [0, 1, 156]])
    seen = np.zeros((2, 2, 4), np.uint8)
    seen[0, :, 3] = 255
    read = read_image(saved(tmp_path / "rgba.png", seen))
    np.testing.assert_array_equal(read[..., 0], [[0, 0], [255, 255]])
    Image.new("CMYK", (4, 2), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "cmyk.tif")[0, 0], [255, 0, 0])
    turned = Image.fromarray(colours)
    turned.getexif()[274] = 6  # The camera lay on its side.
    turned.save(tmp_path / "turned.png", exif=turned.getexif())
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(colours, -1))
    middle = read_image(saved(tmp_path / "long.png", np.repeat(colours, 4, axis=1)), side=2)
    assert middle.shape == (2, 2, 3)
    np.testing.assert_array_equal(middle[:, 0], colours[:, 1])


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp", "ppm", "tif", "webp"])
def test_an_image_that_ends_early_is_broken_though_its_header_is_good(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    whole, cut = saved(tmp_path / f"whole.{suffix}", noise), tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:-200])
    require_image(whole)
    with pytest.raises(InputError, match=rf"cut.{suffix}: it is (broken|no image)"):
        require_image(cut)
    fit, notes = usable(require_image, [whole, cut], leave_out=True)
    assert list(fit) == [whole]
    assert notes[0].startswith("left out: 1 of 2 images cannot be used")


def test_a_broken_note_of_the_camera_is_one_line(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4))
    image.getexif()[274] = 6
    image.save(tmp_path / "turned.webp", exif=image.getexif())
    raw = (tmp_path / "turned.webp").read_bytes()
    (tmp_path / "turned.webp").write_bytes(raw.replace(b"MM\x00*", b"MM\x00\x07"))
    with pytest.raises(InputError, match=r"turned.webp: it is broken \(not a TIFF file"):
        read_image(tmp_path / "turned.webp")


def test_numbers_of_which_nobody_knows_the_greatest_are_refused(tmp_path: Path) -> None:
    for mode, values in (("F", np.full((2, 2), 0.5, np.float32)), ("I", np.full((2, 2), 9, np.int32))):
        file = saved(tmp_path / f"{mode}.tif", values)
        with pytest.raises(InputError, match=f"{mode}.tif: its pixels are of Pillow's mode {mode}, exp"):
            read_image(file)
    Image.new("LAB", (2, 2)).save(tmp_path / "lab.tif")
    with pytest.raises(InputError, match=r"lab.tif: its pixels are of Pillow's mode LAB"):
        read_image(tmp_path / "lab.tif")
    (tmp_path / "16.pgm").write_bytes(b"P5 2 2 65535 " + np.full(4, 257, ">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "16.pgm", channels=1)[..., 0], np.ones((2, 2)))


def test_many_images_are_read_at_once_and_keep_their_order(tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{number}.png", np.full((2, 2), number, np.uint8)) for number in range(40)]
    before = list(warnings.filters)
    found, notes = usable(read_image, files, leave_out=False)
    assert [int(pixels[0, 0, 0]) for pixels in found.values()] == list(range(40))
    assert (list(found), notes) == (files, [])
    assert warnings.filters == before


def test_what_is_no_image_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    saved(tmp_path / "dot.png", np.zeros((1, 1), np.uint8))
    whole = saved(tmp_path / "whole.png", np.arange(4096, dtype=np.uint8).reshape(64, 64)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    messages = {
        "none.png": "there is no such file",
        "text.png": "it is no image that Pillow reads",
        "empty.png": "it is empty, expected an image",
        "dot.png": "it has 1 × 1 pixels, expected at least 2 × 2",
        "cut.png": "it is broken",
        "huge.png": "it has 100 megapixels, expected at most 50",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=rf"{name}: {message}") as raised:
            read_image(tmp_path / name)
        assert "\n" not in str(raised.value)
    # Where Pillow itself refuses, the reason is the same.
    monkeypatch.setattr(files.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"huge.png: it has more than 50 megapixels"):
        read_image(tmp_path / "huge.png")


def test_broken_images_are_counted_and_never_left_out_unasked(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(3):
            saved(tmp_path / label / f"{number}.png", np.full((2, 2), 10 * number, np.uint8))
    (tmp_path / "a" / "1.png").write_text("no image")
    (tmp_path / "a" / "notes.txt").write_text("passed over")
    with pytest.raises(InputError, match=r"^1 of 6 images cannot be used: .*a/1.png: it is no image"):
        read_folder(tmp_path, side=2)
    read = read_folder(tmp_path, side=2, channels=1, leave_out=True)
    assert read.names == ("a", "b")
    assert read.labels.tolist() == [0, 0, 1, 1, 1]
    assert read.images[:, 0, 0, 0].tolist() == [0, 20, 0, 10, 20]
    assert "1 of 6 images" in read.notes[0]
    with pytest.raises(InputError, match=r"2 of 2 images .*none is left"):
        usable(require_image, [tmp_path / "x.png", tmp_path / "y.png"], leave_out=True)
    with pytest.raises(InputError, match=r"0 folders with images"):
        read_folder(tmp_path / "a", side=2)


def test_idx_files_and_archives_are_read_as_they_say(tmp_path: Path) -> None:
    images, labels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.array([1, 0], np.uint8)

    def header(array: np.ndarray) -> bytes:
        return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    (tmp_path / "images").write_bytes(gzip.compress(header(images)))
    (tmp_path / "labels").write_bytes(header(labels))
    read = read_idx_pair(tmp_path / "images", tmp_path / "labels")
    np.testing.assert_array_equal(read.images[..., 0], images)
    assert (read.labels.tolist(), read.names) == ([1, 0], ("0", "1"))
    np.savez(tmp_path / "both.npz", images=images, labels=labels.astype(int))
    np.testing.assert_array_equal(read_npz(tmp_path / "both.npz").images[..., 0], images)
    (tmp_path / "short").write_bytes(header(images)[:-1])
    (tmp_path / "start").write_bytes(header(images)[:10])
    np.savez(tmp_path / "other.npz", x=images)
    for name, read, message in (
        ("short", read_idx, "it has 11 bytes of numbers, its header says 12"),
        ("start", read_idx, "it ends in its header, at 10 bytes of 16"),
        ("both.npz", read_idx, "it is no IDX file of unsigned bytes"),
        ("other.npz", read_npz, "it lacks images, labels; it has x"),
        ("short", read_npz, "it is no npz archive"),
    ):
        with pytest.raises(InputError, match=f"{name}: {message}"):
            read(tmp_path / name)
    with pytest.raises(InputError, match="as many whole numbers"):
        read_idx_pair(tmp_path / "images", tmp_path / "images")


def test_captions_are_read_from_three_forms(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        saved(tmp_path / name, np.zeros((2, 2), np.uint8))
    coco = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 3, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 3, "caption": "b  one"},
            {"image_id": 7, "caption": "a one"},
            {"image_id": 3, "caption": "b two"},
        ],
    }
    sentences = {"a.png": [{"raw": "a one"}], "b.png": [{"raw": "b one"}, {"raw": "b two"}]}
    karpathy = {
        "images": [
            {"filename": name, "split": split, "sentences": sentences[name]}
            for name, split in (("a.png", "restval"), ("b.png", "val"))
        ]
    }
    texts = {
        "coco.json": json.dumps(coco),
        "karpathy.json": json.dumps(karpathy),
        "flickr.txt": "a.png#0\ta one\nb.png#0\tb one\nb.png#1\tb two\n",
    }
    expected = {"a.png": ("a one",), "b.png": ("b one", "b two")}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        found = read_captions(tmp_path / name, tmp_path)
        assert {one.file.name: one.captions for one in found} == expected
        parts = ["train", "validation"] if name == "karpathy.json" else ["", ""]
        assert [one.part for one in found] == parts


def test_captions_without_image_and_other_files_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    image = {"id": 1, "file_name": "a.png"}
    for text, message in (
        ('{"images": [', "it is no JSON"),
        ('{"info": 1}', "expected COCO's"),
        ({"images": [image], "annotations": [{"image_id": 2, "caption": "x"}]}, "without image: image_id 2"),
        ({"images": [image], "annotations": []}, "images without caption: a.png"),
        ({"images": [image], "annotations": [{"image_id": 1}]}, r"annotations\[0\] lacks caption"),
        (
            {"images": [image], "annotations": [{"image_id": 1, "caption": 7}]},
            r"annotations\[0\] has caption 7: expected a text",
        ),
        ({"images": [image, image], "annotations": []}, "two of images have the id 1: expected one of each"),
        ({"images": ["a.png"], "annotations": []}, r"images\[0\] is a.png: expected an object"),
        ({"images": [image], "annotations": {}}, r"annotations is {}: expected a list"),
        ({"images": [{"id": [1], "file_name": "a.png"}], "annotations": []}, r"images\[0\] has id \[1\]"),
        ({"images": [{"filename": "a.png", "sentences": ["x"]}]}, r"sentences\[0\] is x: expected an object"),
        ({"images": [{"filename": "a.png", "sentences": [], "filepath": 1}]}, r"images\[0\] has filepath 1"),
        ("gone.png#0\tx\n", "captions without image: no file gone.png"),
        ("a.png a caption\n", ":1: 'a.png a caption': expected name.jpg#0"),
        ({"images": [{"filename": "a.png", "split": "dev", "sentences": []}]}, "has split 'dev'"),
    ):
        path = tmp_path / "captions"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        with pytest.raises(InputError, match=message):
            read_captions(path, tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_captions(path, tmp_path)


def test_entries_that_are_good_are_not_written_out(tmp_path: Path) -> None:
    class Outline(list):
        def __repr__(self) -> str:
            raise AssertionError("of a million outlines this takes minutes")

    notes = [{"id": 1, "bbox": Outline([1, 2, 3, 4]), "segmentation": Outline([5])}]
    assert entries(tmp_path, {"annotations": notes}, "annotations", id=ID, bbox=LIST) == notes
