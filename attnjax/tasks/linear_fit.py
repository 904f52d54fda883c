"""Softmax and ridge regression, the baselines that know no order and no interaction."""

from typing import Any

import numpy as np

STEPS = 200
"""Most iterations of L-BFGS."""


def linear_fit(x: Any, wanted: np.ndarray, *, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel W and the bias b of the least loss + ½‖W‖².

    Args:
      x: [n, F], an array or a sparse matrix.
      wanted: [n, L], shares of classes, or numbers.
      classes: True for the cross-entropy of softmax(x·W + b), False for half the square error.

    Example:
      >>> kernel, bias = linear_fit(np.array([[1.0], [-1.0]] * 50), np.eye(2)[[0, 1] * 50], classes=True)
      >>> bool(kernel[0, 0] > kernel[0, 1])
      True
    """
    from scipy.optimize import minimize

    width = wanted.shape[1]

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = flat[width:].reshape(-1, width), flat[:width]
        given = x @ kernel + bias
        if classes:
            given = given - given.max(axis=1, keepdims=True)
            log_p = given - np.log(np.exp(given).sum(axis=1, keepdims=True))
            loss, slope = -(wanted * log_p).sum(), np.exp(log_p) - wanted
        else:
            loss, slope = 0.5 * ((given - wanted) ** 2).sum(), given - wanted
        gradient = np.concatenate([slope.sum(axis=0), (x.T @ slope + kernel).ravel()])
        return loss + 0.5 * (kernel**2).sum(), gradient

    start = np.zeros(width * (x.shape[1] + 1))
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    return found[width:].reshape(-1, width), found[:width]
