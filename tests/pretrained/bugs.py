"""Bugs to plant in the parameters of a model."""

from collections.abc import Callable, Mapping

import numpy as np

Values = dict[str, np.ndarray]
"""Parameters of ours by path, or outputs by what they are of."""
Bug = Callable[[Values], Values]


def every(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Bug:
    """All parameters whose path has this part are changed."""

    def planted(values: Values) -> Values:
        found = {name: change(x) for name, x in values.items() if part in name}
        assert found, part
        return values | found

    return planted


def exchanged(one: str, other: str) -> Bug:
    """Parameters whose paths differ in one part are exchanged."""

    def planted(values: Values) -> Values:
        pairs = {name: name.replace(one, other) for name in values if one in name}
        assert pairs, one
        return values | {a: values[b] for a, b in pairs.items()} | {b: values[a] for a, b in pairs.items()}

    return planted


def turned(x: np.ndarray) -> np.ndarray:
    """A matrix that was not transposed, of the shape that it has all the same."""
    return x.reshape(len(x), -1).reshape(-1, len(x)).T.reshape(x.shape)


BUGS: Mapping[str, Bug] = {
    "heads reversed": every("attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("attention.query.kernel", turned),
    "key and value exchanged": exchanged("attention.key.kernel", "attention.value.kernel"),
    "wrong scale": every("attention.query.kernel", lambda x: 1.1 * x),
    "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
}
GATED: Mapping[str, Bug] = {"gate and up exchanged": exchanged("gate.kernel", "up.kernel")}
BIASED: Mapping[str, Bug] = {
    "no bias of queries": every("attention.query.bias", np.zeros_like),
    "no bias of values": every("attention.value.bias", np.zeros_like),
}
