"""Digits and baselines from scikit-learn, where it is installed. The only file that touches it."""

import importlib.util

import numpy as np
from jaxtyping import Bool, Float, Int

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


def has_boosting() -> bool:
    """Returns whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


def boosted(
    train: Float[np.ndarray, "n F"],
    labels: Int[np.ndarray, " n"],
    test: Float[np.ndarray, "m F"],
    kinds: Bool[np.ndarray, " F"],
) -> Float[np.ndarray, " m"]:
    """Returns the probability of label 1 that gradient boosting gives for the rows of the test.

    Args:
      train: numbers, codes of classes, and NaN for what is missing.
      labels: 0 or 1, of the rows of training.
      test: the other rows.
      kinds: True for columns of classes.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(categorical_features=kinds, random_state=0)
    found: np.ndarray = model.fit(train, labels).predict_proba(test)[:, 1]
    return found


def boosted_numbers(
    train: Float[np.ndarray, "n F"], values: Float[np.ndarray, " n"], test: Float[np.ndarray, "m F"]
) -> Float[np.ndarray, " m"]:
    """Returns the numbers that gradient boosting gives for the rows of the test.

    Args:
      train: features.
      values: the numbers of the rows of training.
      test: the features of the other rows.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    found: np.ndarray = HistGradientBoostingRegressor(random_state=0).fit(train, values).predict(test)
    return found
