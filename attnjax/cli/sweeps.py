"""`attnjax sweep`, `status` and `resume`: their options, and what these options mean."""

import argparse
from collections.abc import Callable
from typing import Any, get_args

from attnjax.cli.report import chosen_metric
from attnjax.config import InputError, require
from attnjax.experiment import overrides, registry
from attnjax.runs.exit_codes import (
    STOPPED_BY_CTRL_C,
    STOPPED_BY_SIGTERM,
    Terminated,
    sigterm_raises,
)
from attnjax.runs.run import absolute_paths
from attnjax.sweeps import trials
from attnjax.sweeps.launch import LocalLauncher, PackOptions, without_refused
from attnjax.sweeps.plan import KEEP_PARAMS_CHOICES
from attnjax.sweeps.registry import Mode, NamedSweep, find_sweep, known_sweeps
from attnjax.sweeps.run import run_sweep
from attnjax.sweeps.search import PRUNERS, SAMPLERS, Search
from attnjax.sweeps.sinks import SinksWatcher
from attnjax.sweeps.space import Categorical, Range, parse_axes, parse_space
from attnjax.sweeps.spec import SweepSpec, read_spec
from attnjax.sweeps.store import SWEEPS_FOLDER, Sweep, resolve
from attnjax.sweeps.worker import Watcher, Watchers

Notify = Callable[[str], None]


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
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
        "--dry-run", action="store_true", help="print trials, shapes and an estimate of the time"
    )


def run_arguments(parser: Any) -> None:
    parser.add_argument(
        "--batching", choices=("map", "vmap"), help="default: what a measurement finds faster"
    )
    parser.add_argument("--width", type=count, metavar="N", help="trials in a pack")
    parser.add_argument("--devices", type=count, metavar="N", help="devices to share a pack (default: all)")
    text = "of which trials the final state is kept, as a checkpoint in the trial's folder (default: best)"
    parser.add_argument("--keep-params", choices=KEEP_PARAMS_CHOICES, help=text)
    text = "run trials that failed once more; their reasons are kept beside (not for a --search)"
    parser.add_argument("--retry-failed", action="store_true", help=text)
    sinks_argument(parser)
    code_argument(parser)


def sinks_argument(parser: Any) -> None:
    sinks = ("tensorboard", "wandb", "mlflow")
    text = "also log to: " + ", ".join(sinks)
    parser.add_argument("--sinks", nargs="+", choices=sinks, default=[], metavar="SINK", help=text)


def code_argument(parser: Any) -> None:
    text = "go on although the experiment's file, or a module of yours that it imports, has changed"
    parser.add_argument("--accept-changed-code", action="store_true", help=text)


def fresh_argument(parser: Any) -> None:
    text = "start anew; what is there already is kept under another name"
    parser.add_argument("--fresh", action="store_true", help=text)


def name_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's folder, or the start of its name")


def resume_arguments(parser: argparse.ArgumentParser) -> None:
    name_argument(parser)
    run_arguments(parser)
    parser.set_defaults(fresh=False)


def status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="one sweep (default: all)")


def sweep(options: argparse.Namespace, notify: Notify) -> int:
    """run a named sweep, or an experiment over a grid; a stopped one goes on"""
    spec, refused = chosen_spec(options)
    if options.skip_invalid and not spec.search:
        spec, more = without_refused(spec, options.devices)
        refused += more
    for line in refused:
        notify(f"left out: {line}")
    if options.dry_run:
        return _dry_run(spec, options, notify)
    return _run(spec, spec.folder(options.runs), options, notify)


def resume(options: argparse.Namespace, notify: Notify) -> int:
    """go on with a sweep that was stopped or killed"""
    registry.discover(options.experiments)
    found = resolve(options.sweep, options.runs)
    return _run(read_spec(found), found, options, notify)


def status(options: argparse.Namespace, notify: Notify) -> int:
    """print how far sweeps are: trials done, failed, running, waiting"""
    from attnjax.cli.sweep_tables import print_status

    if options.sweep:
        found = [resolve(options.sweep, options.runs)]
    else:
        found = [Sweep(file.parent) for file in sorted((options.runs / SWEEPS_FOLDER).glob("*/sweep.json"))]
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


def chosen_spec(options: argparse.Namespace) -> tuple[SweepSpec, list[str]]:
    """The sweep that the command line names or describes, and what it leaves out."""
    problems = registry.discover(options.experiments)
    if options.target in {named.name for named in known_sweeps()}:
        return _named(find_sweep(options.target), options)
    known = [known.name for known in (*registry.known(), *known_sweeps())]
    if options.target not in known:
        hint = registry.nearest(options.target, known) or f"; known: {', '.join(known) or 'none'}"
        broken = "".join(f"; not loaded: {problem}" for problem in problems)
        raise InputError(f"unknown sweep or experiment {options.target!r}{hint}{broken}")
    experiment = registry.find(options.target)
    config = absolute_paths(_overridden(registry.default_config(experiment), options))
    search = _search(config, options)
    made: list[trials.Trial] = []
    refused: list[str] = []
    if search is None:
        changes = _changes(config, options)
        made, refused = trials.make_trials(config, changes, skip_invalid=options.skip_invalid)
    name = options.name or experiment.name
    require("/" not in name and not name.startswith("."), f"--name is {name!r}: expected a folder's name")
    summary = f"{experiment.name}: {experiment.summary}"
    return SweepSpec(
        name, experiment, config, made, chosen_metric(options), options.mode, summary, search
    ), refused


def _search(config: Any, options: argparse.Namespace) -> Search | None:
    if options.search is None:
        for flag in ("trials", "prune"):
            require(getattr(options, flag) is None, f"--{flag} is for --search")
        return None
    for flag in ("grid", "zip", "random", "seeds"):
        require(getattr(options, flag) is None, f"--search and --{flag}: expected one of them")
    require(bool(options.trials), "--search: say how many trials with --trials N")
    require(bool(options.space), "--search: say what to draw from with --space FIELD=LOW..HIGH")
    space = {name: _as_json(config, name, d) for name, d in parse_space(config, options.space).items()}
    return Search(options.search, options.trials, space, options.prune, config.seed)


def _as_json(config: Any, name: str, domain: Categorical | Range) -> Categorical | Range:
    """With values as a search's record holds them."""
    if isinstance(domain, Range):
        return domain
    return Categorical(tuple(trials.encoded_changes(config, {name: v})[name] for v in domain.values))


def _named(named: NamedSweep, options: argparse.Namespace) -> tuple[SweepSpec, list[str]]:
    ways = ("grid", "zip", "random", "space", "search", "trials", "prune", "seeds", "metric", "mode")
    for flag in ways:
        given = getattr(options, flag)
        require(
            given is None, f"--{flag} is for an experiment: the sweep {named.name} says itself what it varies"
        )
    config = trials.with_changes(registry.default_config(named.experiment), named.base)
    config = absolute_paths(_overridden(config, options))
    made, refused = trials.make_trials(config, named.changes(), skip_invalid=options.skip_invalid)
    spec = SweepSpec(
        options.name or named.name, named.experiment, config, made, named.metric, named.mode, named.summary
    )
    return spec, refused


def _changes(config: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    ways = [flag for flag in ("grid", "zip", "random") if getattr(options, flag)]
    require(len(ways) < 2, f"--{' and --'.join(ways)}: expected one of them")
    require(not options.space or options.random, "--space: say how many to draw with --random N")
    require(
        not options.random or options.space, "--random: say what to draw from with --space FIELD=LOW..HIGH"
    )
    if options.grid:
        changes = trials.grid(parse_axes(config, options.grid))
    elif options.zip:
        changes = trials.zipped(parse_axes(config, options.zip, flag="--zip"))
    elif options.random:
        changes = trials.sampled(parse_space(config, options.space), options.random, config.seed)
    else:
        require(bool(options.seeds), "what to vary? --grid, --zip, --random or --seeds")
        changes = [{}]
    if options.seeds:
        changes = trials.with_seeds(changes, options.seeds, config.seed)
    return changes


def _overridden(config: Any, options: argparse.Namespace) -> Any:
    if not options.overrides:
        return config
    return overrides.apply(config, options.overrides, program=f"attnjax sweep {options.target}")


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
    return PackOptions(options.devices, options.batching, options.width, options.keep_params)


def _shown_in(sinks: list[str]) -> list[Watcher]:
    return [SinksWatcher(sinks)] if sinks else []


def _dry_run(spec: SweepSpec, options: argparse.Namespace, notify: Notify) -> int:
    from attnjax.cli.sweep_tables import print_trials
    from attnjax.experiment.words import duration
    from attnjax.sweeps.plan import training_seconds

    launcher = LocalLauncher(spec, spec.folder(options.runs), Watcher(), notify)
    plan = launcher.plan(_pack_options(options), None)
    groups, layout = launcher.groups, plan.layout
    total = training_seconds(plan, groups, launcher.programs)
    total *= spec.count / sum(map(len, groups))  # Of a search these are the first.
    print_trials(
        spec,
        groups,
        f"{len(groups)} shape(s), a program each; packs of {layout.width}, {layout.batching} on "
        f"{layout.devices} device(s): about {duration(total)} of training, without evaluations",
    )
    return 0


def count(text: str) -> int:
    """A whole number, 1 or more, of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)
