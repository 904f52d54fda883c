"""The images of a recognition task in parts: scikit-learn's digits, IDX files, an archive, folders."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import require
from attnjax.data.images.config import RecognitionData
from attnjax.data.images.labelled import LabelledImages, read_folder, read_idx_pair, read_npz
from attnjax.data.scikit_learn import sklearn_digits

Parts = dict[str, LabelledImages]
_OFFICIAL = {"train": "train", "test": "t10k"}


def recognition_parts(data: RecognitionData) -> Parts:
    """Returns the parts train, validation and test, with equal names of labels.

    The test is that of the data where it has one: MNIST's t10k files, or a folder "test" beside "train".
    Validation, and the test of other data, are held out by the seed.

    Raises:
      InputError: The data cannot be read, or too little is left of it.
    """
    whole, test = _read(data)
    order = np.random.default_rng(data.seed).permutation(len(whole.labels))
    held = max(1, round(data.holdout * len(order)))
    validation, order = order[:held], order[held:]
    if test is None:
        chosen, order = order[:held], order[held:]
        test = _chosen(whole, chosen)
    require(len(order) > 0, f"data: {len(whole.labels)} images, of which none are left to train on")
    return {
        "train": _chosen(whole, order[: data.most]),
        "validation": _chosen(whole, validation),
        "test": test,
    }


def _read(data: RecognitionData) -> tuple[LabelledImages, LabelledImages | None]:
    path = data.path
    if path is None:
        return sklearn_digits(), None
    require(path.exists(), f"data.path is {str(path)!r}: there is nothing there")
    if path.is_file():
        return read_npz(path), None
    idx = {part: _idx_files(path, name) for part, name in _OFFICIAL.items()}
    if idx["train"] is not None:
        require(idx["test"] is not None, f"{path}: it has no t10k-images-idx3-ubyte, nor its labels")
        train = read_idx_pair(*idx["train"])
        return train, _alike(path, train, read_idx_pair(*(idx["test"] or ())))
    options: dict[str, Any] = {
        "side": data.side,
        "channels": data.channels,
        "leave_out": data.leave_out_broken,
    }
    if not (path / "train").is_dir():
        return read_folder(path, **options), None
    train = read_folder(path / "train", **options)
    if not (path / "test").is_dir():
        return train, None
    test = read_folder(path / "test", **options)
    require(
        train.names == test.names,
        f"{path}: train has the labels {', '.join(train.names)}, test {', '.join(test.names)}",
    )
    return train, test


def _alike(folder: Path, train: LabelledImages, test: LabelledImages) -> LabelledImages:
    """Returns the test with the labels of training.

    Raises:
      InputError: The test has labels that training has not, or images of another size.
    """
    found, last = int(test.labels.max()), len(train.names) - 1
    require(found <= last, f"{folder}: t10k has the label {found}, train has none above {last}")
    shapes = [part.images.shape[1:] for part in (train, test)]
    sizes = [" × ".join(map(str, shape)) for shape in shapes]
    require(shapes[0] == shapes[1], f"{folder}: images of t10k are {sizes[1]}, those of train {sizes[0]}")
    return dataclasses.replace(test, names=train.names)


def _idx_files(folder: Path, name: str) -> tuple[Path, Path] | None:
    """Returns the files of images and labels, gzipped or not; None where one is missing."""
    found = []
    for kind in ("images-idx3", "labels-idx1"):
        files = [folder / f"{name}-{kind}-ubyte{suffix}" for suffix in ("", ".gz")]
        found += [file for file in files if file.is_file()][:1]
    return (found[0], found[1]) if len(found) == 2 else None


def _chosen(whole: LabelledImages, rows: np.ndarray) -> LabelledImages:
    return dataclasses.replace(whole, images=whole.images[rows], labels=whole.labels[rows])
