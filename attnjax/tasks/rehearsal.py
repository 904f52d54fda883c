"""Checks that a task is what training needs: before training, and in one line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.config import InputError
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import HoldsOutByTrial, Hyperparameters, Params, StartsFrom, Task
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


def rehearse(task: Task, hyper: Mapping[str, float]) -> Any:
    """Returns the shapes of a task's parameters, if training can use them, a first batch and the loss of it.

    The loss is traced and not compiled: the first step comes as soon as without.

    Args:
      task: any.
      hyper: what the loss will get. All of it has to be read: trials of a sweep that differ in a traced field
        share one task, and a field that the loss does not read would be the same for all.

    Raises:
      TaskError: something is not as training needs it.
    """
    check_parts(task)
    given_params(task)
    with task_code("init"):
        params = jax.eval_shape(task.init, jax.random.key(0))
    with task_code("batch"):
        batch = task.batch(0)
    _check_batch(batch)

    read: set[str] = set()

    def loss(params: Any, batch: Any, rate: Any, hyper: dict[str, Any]) -> Any:
        dropout = Dropout(rate, jax.random.key(0))
        return task.loss(params, batch, dropout=dropout, hyper=_Noting(hyper, read))

    with task_code("loss"):
        found = jax.eval_shape(loss, params, batch, jnp.float32(0), dict(hyper))
    _check_loss(found)
    if unread := hyper.keys() - read:
        raise TaskError(
            f"{type(task).__name__}.loss does not read hyper[{min(unread)!r}], a traced field of the config: "
            "a field that something else depends on must not be traced"
        )
    return params


def given_params(task: Task) -> Params | None:
    """Returns the arrays that a task's parameters begin as, in the dtypes of its `init`; None without any.

    Raises:
      TaskError: they are not a part of what `init` returns.
    """
    if not isinstance(task, StartsFrom):
        return None
    with task_code("initial_params", but=InputError):
        given = task.initial_params()
    if given is None:
        return None
    with task_code("init"):
        like = jax.eval_shape(task.init, jax.random.key(0))
    return _fitting(given, like, "")


def validation(task: Task, params: Any, hyper: Hyperparameters) -> dict[str, float]:
    """Returns what the task's validation finds. Raises TaskError where that is not as training needs it."""
    own = task.validate_trial(params, hyper) if isinstance(task, HoldsOutByTrial) else task.validate(params)
    values = numbers("validate", own)
    if (name := task.monitor[0]) not in values:
        raise TaskError(f"validate returns {_names(values)}: expected {name!r} too, which monitor names")
    return values


def evaluation(task: Task, params: Any, folder: Path, hyper: Hyperparameters) -> dict[str, dict[str, float]]:
    """Returns the table of a trial's evaluation. Raises TaskError where that is none."""
    if isinstance(task, HoldsOutByTrial):
        return table("evaluate", task.evaluate_trial(params, folder, hyper).metrics)
    return table("evaluate", task.evaluate(params, folder).metrics)


def numbers(what: str, values: Any) -> dict[str, float]:
    """Returns the values as Python's numbers, arrays of one number too.

    Raises:
      TaskError: a value is something else.

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
    """Returns the same for an evaluation's metrics, row → column → value. Raises as `numbers` does."""
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


class _Noting(Mapping[str, Any]):
    """A mapping that notes which of its values are asked for."""

    def __init__(self, values: Mapping[str, Any], read: set[str]) -> None:
        self._values, self._read = values, read

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _fitting(given: Any, like: Any, place: str) -> Any:
    """Returns given parameters as host arrays in the dtypes of `like`; a dictionary may lack some."""
    where = f"initial_params{place}"
    if isinstance(like, dict):
        if not isinstance(given, Mapping):
            raise TaskError(f"{where} is {_kind(given)}: expected a dictionary, as in init")
        if unknown := sorted(set(given) - set(like), key=str):
            raise TaskError(f"{where} has {unknown[0]!r}, which init has not: it has {_names(like)}")
        return {name: _fitting(value, like[name], f"{place}[{name!r}]") for name, value in given.items()}
    structure: Any = jax.tree.structure(given)
    if structure != jax.tree.structure(like):
        raise TaskError(f"{where} is {_kind(given)}: expected the structure of init, {_kind(like)}")

    def fitted(value: Any, like: jax.ShapeDtypeStruct) -> np.ndarray:
        array = np.asarray(value)
        floating = all(jnp.issubdtype(dtype, jnp.floating) for dtype in (array.dtype, like.dtype))
        if array.shape != like.shape or not (floating or array.dtype == like.dtype):
            found, expected = (f"{x.dtype}{list(x.shape)}" for x in (array, like))
            raise TaskError(f"{where} is {found}: expected {expected}, as in init")
        return array.astype(like.dtype)

    return jax.tree.map(fitted, given, like)


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, values)) or "nothing"


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(value, tuple):
        return f"({', '.join(map(_kind, value))})"
    return f"a {type(value).__name__}" if shape is None else f"an array of shape {shape}"
