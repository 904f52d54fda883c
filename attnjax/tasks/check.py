"""Whether a task is what training needs: seen before training, and said in one line."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Task
from attnjax.tasks.errors import TaskError, task_code

METHODS = ("init", "batch", "loss", "validate", "evaluate", "save")


def check_parts(task: Any) -> None:
    """Raises TaskError unless the task has its methods and a monitor."""
    for name in METHODS:
        if not callable(getattr(task, name, None)):
            raise TaskError(f"{type(task).__name__} has no method {name}")
    monitor = getattr(task, "monitor", None)
    match monitor:
        case (str(), "max" | "min"):
            return
    raise TaskError(
        f'{type(task).__name__}.monitor is {monitor!r}: expected a pair such as ("accuracy", "max")'
    )


def rehearse(task: Task) -> Any:
    """Returns the shapes of the parameters; raises TaskError where a first batch or its loss is not fit.

    Both are traced and not compiled: the first step comes as soon as without.
    """
    check_parts(task)
    with task_code("init"):
        params = jax.eval_shape(task.init, jax.random.key(0))
    with task_code("batch"):
        batch = task.batch(0)
    _check_batch(batch)

    def loss(params: Any, batch: Any, rate: Any, smoothing: Any) -> Any:
        dropout = Dropout(rate, jax.random.key(0))
        return task.loss(params, batch, dropout=dropout, label_smoothing=smoothing)

    with task_code("loss"):
        found = jax.eval_shape(loss, params, batch, jnp.float32(0), jnp.float32(0))
    _check_loss(found)
    return params


def validation(task: Task, params: Any) -> dict[str, float]:
    """Returns what the task's validation finds. Raises TaskError where that is not as training needs it."""
    values = numbers("validate", task.validate(params))
    if (name := task.monitor[0]) not in values:
        raise TaskError(f"validate returns {_names(values)}: expected {name!r} too, which monitor names")
    return values


def numbers(what: str, values: Any) -> dict[str, float]:
    """The values as Python's numbers, arrays of one number too. Raises TaskError for anything else.

    >>> numbers("validate", {"accuracy": jnp.float32(0.5), "count": 3})
    {'accuracy': 0.5, 'count': 3}
    """
    if not isinstance(values, Mapping):
        raise TaskError(f"{what} returns {_kind(values)}: expected a dictionary of numbers")
    found = {}
    for name, value in values.items():
        if not isinstance(value, int | float | np.generic | np.ndarray | jax.Array) or np.size(value) != 1:
            raise TaskError(f"{what} returns {_kind(value)} as {name!r}: expected a number")
        found[name] = value if isinstance(value, int | float) else value.item()
    return found


def table(what: str, rows: Any) -> dict[str, dict[str, float]]:
    """The same for an evaluation's metrics, row → column → value."""
    if not isinstance(rows, Mapping):
        raise TaskError(f"{what} returns {_kind(rows)}: expected rows, and in each a dictionary of numbers")
    return {name: numbers(f"{what}, row {name!r},", row) for name, row in rows.items()}


def _check_batch(batch: Any) -> None:
    if not isinstance(batch, Mapping):
        raise TaskError(f"batch returns {_kind(batch)}: expected a dictionary of arrays")
    lengths = {name: np.shape(leaf)[:1] for name, leaf in batch.items()}
    if not lengths or () in lengths.values() or len(set(lengths.values())) > 1:
        shapes = ", ".join(f"{name} {np.shape(leaf)}" for name, leaf in batch.items())
        raise TaskError(f"batch returns {shapes or 'nothing'}: expected arrays [batch_size, …]")


def _check_loss(found: Any) -> None:
    match found:
        case (jax.ShapeDtypeStruct(shape=()), dict() as metrics):
            pass
        case _:
            raise TaskError(f"loss returns {_kind(found)}: expected a scalar and a dictionary of metrics")
    if missing := {"loss", "weight"} - metrics.keys():
        raise TaskError(f"loss returns metrics {_names(metrics)}: expected {min(missing)!r} too")
    for name, metric in metrics.items():
        if np.shape(metric) != ():
            raise TaskError(f"loss returns {name!r} of shape {np.shape(metric)}: expected a scalar")


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, values)) or "nothing"


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(value, tuple):
        return f"({', '.join(map(_kind, value))})"
    return f"a {type(value).__name__}" if shape is None else f"an array of shape {shape}"
