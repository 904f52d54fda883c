"""The commands on experiments and runs, from `list` to `doctor`: their options, and what they call."""

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import Any

from attnjax.cli import run_tables, sweeps
from attnjax.cli.machines import device_argument, hosts_arguments, joined_hosts
from attnjax.cli.mechanisms import describe
from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.mechanisms import Choice, read, table
from attnjax.mechanisms.describe import listing
from attnjax.runs.exit_codes import (
    STOPPED_BY_CTRL_C,
    STOPPED_BY_SIGTERM,
    Terminated,
    sigterm_raises,
)
from attnjax.runs.start import Notify
from attnjax.runs.weights import MEANING

Configured = tuple[registry.Experiment, Any]
"""An experiment and its config."""


def experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of commands that take an experiment."""
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", nargs="?", help="a name that `attnjax list` prints"
    )
    parser.add_argument("-h", "--help", action="store_true", help="this text; after EXPERIMENT: its fields")
    source = "begin with the parameters of a pretrained folder or of a finished run (--train.init_from)"
    parser.add_argument("--init-from", metavar="DIR|RUN", help=source)
    parser.usage = f"attnjax {parser.prog.split()[-1]} EXPERIMENT [--FIELD VALUE ...] [options]"


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax run`."""
    experiment_arguments(parser)
    sweeps.fresh_argument(parser)
    _start_arguments(parser)


def prolong_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax prolong`."""
    one_run_arguments(parser)
    text = "how many there shall be in all"
    parser.add_argument(
        "--train.steps", dest="steps", type=sweeps.count, metavar="N", required=True, help=text
    )
    parser.set_defaults(fresh=False)
    _start_arguments(parser)


def _start_arguments(parser: argparse.ArgumentParser) -> None:
    device_argument(parser)
    sweeps.code_argument(parser)
    sweeps.sinks_argument(parser)
    text = "write the attention of such layers at every checkpoint, as decoder.1.cross_attention or blocks.*"
    parser.add_argument("--watch", nargs="+", default=[], metavar="LAYER", help=text)
    text = f"which weights to evaluate: {MEANING} (default: last, or what the experiment says)"
    parser.add_argument("--weights", metavar="last|best[:K]", help=text)
    hosts_arguments(parser)


def one_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names a run."""
    parser.add_argument("run", metavar="RUN", help="a run's id, the start of one, or its folder")


def reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax reproduce`."""
    one_run_arguments(parser)
    device_argument(parser)
    hosts_arguments(parser)


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax compare`."""
    one_run_arguments(parser)
    parser.add_argument("others", nargs="+", metavar="RUN", help="the runs to compare it with")


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax list`."""
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        choices=("experiments", "mechanisms"),
        default="experiments",
        help="experiments (with their sweeps) or mechanisms (default: experiments)",
    )


def list_experiments(options: argparse.Namespace, notify: Notify) -> int:
    """Lists experiments and sweeps, or mechanisms, one line each."""
    problems = registry.discover(options.experiments)
    mechanisms = options.what == "mechanisms"
    print(listing() if mechanisms else run_tables.experiments(registry.known()))
    for problem in problems:
        notify(f"error: {' '.join(problem.split())}")
    return 2 if problems else 0


def runs(options: argparse.Namespace, notify: Notify) -> int:
    """Lists runs, the newest first: state, score, age, and changes from the default."""
    from attnjax.runs.listing import listed_runs

    registry.discover(options.experiments)
    found = list(listed_runs(options.runs, options.experiment))
    if not found:
        of = f" of {options.experiment}" if options.experiment else ""
        notify(f"there are no runs{of} in {options.runs} (`attnjax status` lists sweeps)")
    else:
        print(run_tables.runs(found))
    return 0


def runs_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax runs`."""
    parser.add_argument("experiment", metavar="EXPERIMENT", nargs="?", help="only its runs (default: all)")


def show(options: argparse.Namespace, notify: Notify) -> int:
    """Prints an experiment's description, resolved config and command, or a mechanism's declaration."""
    if (choices := _mechanism(options)) is not None:
        print(describe(choices))
        return 0
    experiment, config = configured(options)
    from attnjax.runs import store

    run = store.run_for(experiment, config, options.runs)
    where = ["--experiments", str(options.experiments)] if options.experiments else []
    command = shlex.join(["attnjax", "run", experiment.name, *options.overrides, *where])
    print(run_tables.description(experiment, config, run, command))
    return 0


def run(options: argparse.Namespace, notify: Notify) -> int:
    """Trains and evaluates an experiment; a stopped run goes on, a finished one shows its result."""
    return _start(lambda: configured(options), options, notify)


def prolong(options: argparse.Namespace, notify: Notify) -> int:
    """Continues a finished run, if its schedule allows it, to more steps in a folder of its own."""
    run = _chosen_run(options, options.run)
    from attnjax.runs.prolong import prolonged
    from attnjax.train.distributed import hosts

    def configured() -> Configured:
        hosts().of_main(lambda: prolonged(run, options.steps, options.runs) and None)  # The others find it.
        return prolonged(run, options.steps, options.runs)

    return _start(configured, options, notify)


def _start(configured: Callable[[], Configured], options: argparse.Namespace, notify: Notify) -> int:
    from attnjax.runs.start import run as start

    again = "the same command continues from there"
    try:
        with sigterm_raises(), joined_hosts(options) as hosts:
            outcome = start(
                *configured(),
                runs=options.runs,
                devices=options.devices,
                mesh=options.mesh,
                rules=options.rules,
                sinks=options.sinks,
                watch=options.watch,
                accept_changed_code=options.accept_changed_code,
                fresh=options.fresh,
                weights=options.weights,
                notify=notify,
            )
    except Terminated:
        notify(f"stopped: {again}")
        return STOPPED_BY_SIGTERM
    except KeyboardInterrupt:
        notify(f"interrupted: {again}")
        return STOPPED_BY_CTRL_C
    if outcome.result is None:
        notify(f"stopped and saved at step {outcome.step}: {again}")
        return STOPPED_BY_SIGTERM
    if hosts.is_main:
        run_tables.print_result(outcome.run, outcome.result, stored=outcome.stored)
    return 0


def reproduce(options: argparse.Namespace, notify: Notify) -> int:
    """Trains a run's stored config again and compares the parameters bit for bit."""
    run = _chosen_run(options, options.run)
    from attnjax.runs.reproduce import reproduce as train_again

    with sigterm_raises(), joined_hosts(options) as hosts:
        outcome = train_again(
            run, devices=options.devices, mesh=options.mesh, rules=options.rules, notify=notify
        )
    if hosts.is_main:
        print(run_tables.reproduction(outcome))
    return 0 if outcome.same else STOPPED_BY_SIGTERM if outcome.actual is None else 1


def compare(options: argparse.Namespace, notify: Notify) -> int:
    """Prints where the configs of runs differ, and their results side by side."""
    from attnjax.runs.compare import compare as compared

    chosen = [_chosen_run(options, name) for name in (options.run, *options.others)]
    run_tables.print_comparison(compared(chosen))
    return 0


def doctor(options: argparse.Namespace, notify: Notify) -> int:
    """Checks versions, devices, folders and experiments, and says how to mend what is wrong."""
    from attnjax.runs.doctor import examine

    findings = []
    for finding in examine(options.runs, registry.discover(options.experiments)):
        run_tables.print_finding(finding)
        findings.append(finding)
    return 1 if any(finding.state == "broken" for finding in findings) else 0


def _mechanism(options: argparse.Namespace) -> tuple[Choice, ...] | None:
    """The mechanisms that `show` is asked for; None for the name of an experiment, and for its help."""
    if options.experiment is None or options.help or options.overrides:
        return None
    registry.discover(options.experiments)
    experiments = [experiment.name for experiment in registry.known()]
    if options.experiment in experiments:
        return None
    try:
        return read(options.experiment, "what to show")
    except InputError:
        if registry.nearest(options.experiment, experiments) or options.experiment.isidentifier():
            names = registry.nearest(options.experiment, [*experiments, *table()])
            hint = names or "; `attnjax list` and `attnjax list mechanisms` print the names"
            raise InputError(f"unknown experiment or mechanism {options.experiment!r}{hint}") from None
        raise


def configured(options: argparse.Namespace) -> Configured:
    """Returns the experiment that options name and its config, or prints the help that they ask for."""
    if options.experiment is None:
        if not options.help:
            raise InputError(
                f"which experiment? `{options.parser.prog} NAME`; `attnjax list` prints the names"
            )
        options.parser.print_help()
        sys.exit(0)
    problems = registry.discover(options.experiments)
    experiment = registry.find(options.experiment, problems)
    config = registry.default_config(experiment)
    if options.help:
        options.parser.print_help()
        print()
    if options.init_from is not None:
        from attnjax.runs.sources import source_folder

        folder = source_folder(options.init_from, options.runs)
        options.overrides = [*options.overrides, "--train.init_from", str(folder)]
    if options.help or options.overrides:
        from attnjax.experiment import overrides

        arguments = [*options.overrides, *(["--help"] if options.help else [])]
        config = overrides.apply(config, arguments, program=f"{options.parser.prog} {experiment.name}")
    return experiment, config


def _chosen_run(options: argparse.Namespace, name: str) -> Any:
    from attnjax.runs import store

    registry.discover(options.experiments)
    return store.resolve(name, options.runs)
