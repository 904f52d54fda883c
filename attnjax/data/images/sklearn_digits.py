"""Digits and a baseline from scikit-learn. The only file that touches it."""

import numpy as np

from attnjax.config import InputError
from attnjax.data.images.labelled import LabelledImages

_MISSING = "which cannot be imported ({}): `pip install scikit-learn` brings it"
_GREATEST = 16
"""Of a pixel of scikit-learn's digits."""


def sklearn_digits() -> LabelledImages:
    """Returns scikit-learn's 1,797 handwritten digits of 8 × 8 pixels.

    Raises:
      InputError: scikit-learn cannot be imported.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            f"data.path is None: its digits are scikit-learn's, {_MISSING.format(error)}"
        ) from None
    digits = load_digits()
    pixels = np.rint(digits.images * 255 / _GREATEST).astype(np.uint8)
    return LabelledImages(pixels[..., None], digits.target.astype(np.int32), tuple(map(str, range(10))))


def svc_labels(train: LabelledImages, test: LabelledImages) -> np.ndarray | None:
    """Returns the labels that a support vector machine gives to test images; None without scikit-learn.

    It is `SVC()` as scikit-learn has it, with a radial basis, over pixels from 0 to 1.
    """
    try:
        from sklearn.svm import SVC
    except ImportError:
        return None
    vectors = [part.images.reshape(len(part.labels), -1) / 255 for part in (train, test)]
    given: np.ndarray = SVC().fit(vectors[0], train.labels).predict(vectors[1])
    return given
