"""`attnjax sweep`, `status` and `resume`: their options, and what these options mean."""

import argparse
import dataclasses
from typing import Any, get_args

from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.runs.exit_codes import STOPPED_BY_CTRL_C, STOPPED_BY_SIGTERM, Terminated, sigterm_raises
from attnjax.runs.start import Notify, Weights
from attnjax.sweeps.launch import PackOptions, dry_run, without_refused
from attnjax.sweeps.pack_plan import BATCHINGS, KEEP_PARAMS_CHOICES
from attnjax.sweeps.registry import Mode
from attnjax.sweeps.request import SweepRequest, requested_sweep
from attnjax.sweeps.run import run_sweep
from attnjax.sweeps.spec import PRUNERS, SAMPLERS, SweepSpec, read_spec
from attnjax.sweeps.store import Sweep, all_sweeps, resolve
from attnjax.sweeps.watcher import SinksWatcher, Watcher, Watchers


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax sweep`."""
    parser.usage = "attnjax sweep SWEEP|EXPERIMENT [options] [--FIELD VALUE ...]"
    parser.add_argument("target", metavar="SWEEP", help="a sweep or an experiment that `attnjax list` prints")
    ways = parser.add_argument_group("what to vary, for an experiment")
    quotes = "quotes around one keep its commas"
    ways.add_argument(
        "--grid", nargs="+", metavar="F=A,B", help=f"every combination of these values; {quotes}"
    )
    ways.add_argument("--zip", nargs="+", metavar="F=A,B", help="first values together, second ones, …")
    ways.add_argument("--random", type=count, metavar="N", help="N draws from --space")
    ways.add_argument("--space", nargs="+", metavar="F=L..H", help="ranges (log:L..H) and lists to draw from")
    ways.add_argument("--search", choices=SAMPLERS, help="let Optuna choose --trials from --space")
    ways.add_argument("--trials", type=count, metavar="N", help="of a --search")
    ways.add_argument("--prune", choices=PRUNERS, help="stop trials of a --search by their validations")
    ways.add_argument("--seeds", type=count, metavar="N", help="each of them with N seeds")
    ways.add_argument("--metric", metavar="ROW/COLUMN", help="the cell of the evaluation that counts")
    ways.add_argument("--mode", choices=get_args(Mode), help="which end of it is better")
    ways.add_argument("--name", help="of the sweep's folder (default: the experiment's)")
    how = parser.add_argument_group("how to run it")
    run_arguments(how)
    fresh_argument(how)
    how.add_argument("--skip-invalid", action="store_true", help="leave out combinations that can't be")
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="print trials, shapes and an estimate of the time, for which one step is run",
    )


def run_arguments(parser: Any) -> None:
    """Adds the options on how a sweep is computed."""
    parser.add_argument("--batching", choices=BATCHINGS, help="default: what a measurement finds faster")
    parser.add_argument("--width", type=count, metavar="N", help="trials in a pack")
    parser.add_argument("--devices", type=count, metavar="N", help="devices to share a pack (default: all)")
    text = "of which trials the final state is kept, as a checkpoint in the trial's folder (default: best)"
    parser.add_argument("--keep-params", choices=KEEP_PARAMS_CHOICES, help=text)
    weights_argument(parser)
    text = "run trials that failed once more; their reasons are kept beside (not for a --search)"
    parser.add_argument("--retry-failed", action="store_true", help=text)
    sinks_argument(parser)
    code_argument(parser)


def weights_argument(parser: Any) -> None:
    """Adds the option that says which weights the final table is of."""
    text = "which weights to evaluate: the last, or of the best validation (default: as the experiment says)"
    parser.add_argument("--weights", choices=get_args(Weights), help=text)


def sinks_argument(parser: Any) -> None:
    """Adds the option on services that metrics also go to."""
    sinks = ("tensorboard", "wandb", "mlflow")
    text = "also log to: " + ", ".join(sinks)
    parser.add_argument("--sinks", nargs="+", choices=sinks, default=[], metavar="SINK", help=text)


def code_argument(parser: Any) -> None:
    """Adds the option that accepts changed code."""
    text = "go on although the experiment's file, or a module of yours that it imports, has changed"
    parser.add_argument("--accept-changed-code", action="store_true", help=text)


def fresh_argument(parser: Any) -> None:
    """Adds the option that starts anew."""
    text = "start anew; what is there already is kept under another name"
    parser.add_argument("--fresh", action="store_true", help=text)


def name_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names a sweep."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's folder, or the start of its name")


def resume_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax resume`."""
    name_argument(parser)
    run_arguments(parser)
    parser.set_defaults(fresh=False)


def status_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax status`."""
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="one sweep (default: all)")


def sweep(options: argparse.Namespace, notify: Notify) -> int:
    """Runs a named sweep, or an experiment over a grid; a stopped one goes on."""
    spec, refused = _requested(options)
    if options.skip_invalid and not spec.search:
        spec, more = without_refused(spec, options.devices)
        refused += more
    for line in refused:
        notify(f"left out: {line}")
    if options.dry_run:
        return _dry_run(spec, options, notify)
    return _run(spec, spec.folder(options.runs), options, notify)


def resume(options: argparse.Namespace, notify: Notify) -> int:
    """Continues a sweep that was stopped or killed."""
    registry.discover(options.experiments)
    found = resolve(options.sweep, options.runs)
    return _run(read_spec(found), found, options, notify)


def status(options: argparse.Namespace, notify: Notify) -> int:
    """Prints the state of sweeps: trials done, failed, running, waiting."""
    from attnjax.cli.sweep_tables import print_status

    if options.sweep:
        found = [resolve(options.sweep, options.runs)]
    else:
        found = all_sweeps(options.runs)
    if not found:
        notify(f"there are no sweeps in {options.runs}")
    code = 0
    for one in found:
        try:
            print_status(one)
        except InputError as error:
            notify(f"error: {error}")
            code = 2
    return code


def _requested(options: argparse.Namespace) -> tuple[SweepSpec, list[str]]:
    problems = registry.discover(options.experiments)
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(SweepRequest)}
    return requested_sweep(SweepRequest(**given), problems)


def _run(spec: SweepSpec, sweep: Sweep, options: argparse.Namespace, notify: Notify) -> int:
    from attnjax.cli.sweep_tables import LiveTable, print_end, print_status

    def stopped(how: str) -> None:
        begun = sweep.sweep_file.is_file()
        notify(
            f"{how}: {'the same command, or `attnjax resume`, continues' if begun else 'nothing was begun'}"
        )

    try:
        with sigterm_raises():
            outcome = run_sweep(
                spec,
                sweep,
                pack_options=_pack_options(options),
                launch=options.launch,
                watcher=Watchers([LiveTable(spec), *_shown_in(options.sinks)]),
                accept_changed_code=options.accept_changed_code,
                fresh=options.fresh,
                retry_failed=options.retry_failed,
                notify=notify,
            )
    except Terminated:
        stopped("stopped")
        return STOPPED_BY_SIGTERM
    except KeyboardInterrupt:
        stopped("interrupted")
        return STOPPED_BY_CTRL_C
    print_status(outcome.sweep)
    print_end(outcome.sweep)
    if not outcome.finished:
        stopped("stopped and saved")
        return STOPPED_BY_SIGTERM
    return 0


def _pack_options(options: argparse.Namespace) -> PackOptions:
    return PackOptions(options.devices, options.batching, options.width, options.keep_params, options.weights)


def _shown_in(sinks: list[str]) -> list[Watcher]:
    return [SinksWatcher(sinks)] if sinks else []


def _dry_run(spec: SweepSpec, options: argparse.Namespace, notify: Notify) -> int:
    from attnjax.cli.sweep_tables import print_trials

    print_trials(spec, dry_run(spec, spec.folder(options.runs), _pack_options(options), notify))
    return 0


def count(text: str) -> int:
    """A whole number, 1 or more, of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)
