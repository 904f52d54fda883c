"""The end of a run as services such as TensorBoard, W&B and MLflow are shown it."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.experiment.serialize import flatten
from attnjax.runs.store import Run

if TYPE_CHECKING:
    from attnjax.train.observers.sinks import Sink


def sinks_of(names: Sequence[str], this: Run, stack: ExitStack, group: str | None = None) -> "list[Sink]":
    """Returns the services of these names, told of a run, or of a trial of the sweep `group`."""
    if not names:
        return []
    from attnjax.train.observers.sinks import Shown, open_sinks

    name = f"{group}/{this.name}" if group else this.name
    shown = Shown(name, this.folder, flatten(this.record()["config"]), group)
    return open_sinks(list(names), shown, stack)


def show_result(this: Run, result: dict[str, Any], sinks: "Sequence[Sink]") -> None:
    """Shows the table and the pictures of a run."""
    figures = {Path(figure).stem: this.folder / figure for figure in result.get("figures", [])}
    for sink in sinks:
        sink.result(result["step"], result["metrics"], figures)


def show_finished(this: Run, result: dict[str, Any], names: Sequence[str], group: str | None = None) -> None:
    """Shows a run that has ended, or a sweep's trial, in those of the services that do not know its end."""
    if not names:
        return
    from attnjax.train.observers.sinks import read_known

    known = read_known(this.folder)
    unaware = [name for name in names if known.get(name, {}).get("state") not in ("finished", "failed")]
    with ExitStack() as stack:
        sinks = sinks_of(unaware, this, stack, group)
        if result.get("status", "done") == "done":
            show_result(this, result, sinks)
        else:
            for sink in sinks:
                sink.failed()
