"""`attnjax …`: reads the command line and calls the experiment floor. jax is imported only when needed."""

import argparse
import errno
import functools
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import attnjax
from attnjax.config import InputError
from attnjax.experiment import console, registry, sweep_command
from attnjax.experiment.errors import RunFailed
from attnjax.experiment.interrupt import Terminated, sigterm_raises
from attnjax.explain import mask_command
from attnjax.launch.options import launching, with_launcher

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
EPILOG = "`attnjax COMMAND --help` says more; `attnjax run EXPERIMENT --help` lists what can be overridden."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 bad input, 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with console.warnings_to(_note):
            options, overrides = _parser().parse_known_args(arguments)
            if options.command == "translate" and not any(text.startswith("-") for text in overrides):
                # argparse takes texts that stand behind an option for strangers.
                options.texts, overrides = options.texts + overrides, []
            options.overrides = overrides
            options.runs = options.runs or Path(os.environ.get("ATTNJAX_RUNS") or "runs")
            if overrides and not options.takes_overrides:
                unexpected = next((o for o in overrides if o.startswith("-")), overrides[0])
                raise InputError(f"unexpected argument {unexpected!r}")
            return options.call(options)
    except InputError as error:
        return _fail(2, str(error))
    except RunFailed as error:
        return _fail(1, str(error))
    except Terminated:
        return _fail(1, "stopped by SIGTERM")
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except OSError as error:
        if error.errno in UNWRITABLE:
            return _fail(2, f"cannot write to {error.filename or options.runs}: {error.strerror}")
        if isinstance(error, PermissionError):
            return _fail(2, f"cannot open {error.filename}: {error.strerror}")
        if not isinstance(error, BrokenPipeError):
            raise
        # The reader of our output has left (`attnjax list | head`): nothing more to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run_file(file: str) -> NoReturn:
    """For the last lines of an experiment file: `python FILE …` does what `attnjax run NAME …` does."""
    path = Path(file).resolve()
    names = [entry.name for entry in registry.known() if entry.file == path]
    name = path.stem if path.stem in names or not names else names[0]
    sys.exit(main(["run", name, "--experiments", str(path.parent), *sys.argv[1:]]))


def _fail(code: int, message: str) -> int:
    print(f"attnjax: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _note(message: str) -> None:
    print(f"attnjax: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if wrong := re.match(r"argument COMMAND: invalid choice: '([^']*)'", message):
            message = f"unknown command {wrong[1]!r}" + registry.nearest(wrong[1], COMMANDS)
        raise InputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="attnjax", description=attnjax.__doc__.partition("\n")[0], epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"attnjax {attnjax.__version__}")
    _place_arguments(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (call, prepare) in COMMANDS.items():
        overridable = name in ("run", "show")
        command = commands.add_parser(
            name,
            help=call.__doc__,
            description=call.__doc__,
            allow_abbrev=False,
            add_help=not overridable,
        )
        command.set_defaults(call=call, takes_overrides=overridable or name == "sweep", parser=command)
        prepare(command)
        # Without defaults here: what was given before the command would be overwritten.
        _place_arguments(command, argument_default=argparse.SUPPRESS)
    return parser


def _place_arguments(parser: argparse.ArgumentParser, *, argument_default: Any = None) -> None:
    group = parser.add_argument_group("where things are", argument_default=argument_default)
    group.add_argument("--experiments", type=Path, metavar="DIR", help="a folder of your own experiments")
    where = "of run folders (default: $ATTNJAX_RUNS or ./runs)"
    group.add_argument("--runs", type=Path, metavar="DIR", help=where)


def _nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _experiment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", nargs="?", help="a name that `attnjax list` prints"
    )
    parser.add_argument("-h", "--help", action="store_true", help="this text; after EXPERIMENT: its fields")
    parser.usage = f"attnjax {parser.prog.split()[-1]} EXPERIMENT [--FIELD VALUE ...] [options]"


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    _experiment_arguments(parser)
    _device_argument(parser)
    sinks = ("tensorboard", "wandb", "mlflow")
    text = "also log to: " + ", ".join(sinks)
    parser.add_argument("--sinks", nargs="+", choices=sinks, default=[], metavar="SINK", help=text)


def _device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices", type=sweep_command.count, metavar="N", help="devices to share a batch (default: all)"
    )


def _one_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, the start of one, or its folder")


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    _one_run_arguments(parser)
    _device_argument(parser)


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    _one_run_arguments(parser)
    parser.add_argument("other", metavar="RUN", help="the run to compare it with")


def _translate_arguments(parser: argparse.ArgumentParser) -> None:
    _one_run_arguments(parser)
    parser.add_argument(
        "texts", metavar="TEXT", nargs="*", help="what to translate (default: lines of stdin)"
    )
    parser.add_argument("--alignment", action="store_true", help="show where each piece of output looked")
    parser.add_argument("--best", action="store_true", help="use the weights of the best validation")


def _list(options: argparse.Namespace) -> int:
    """list experiments and sweeps, one line each"""
    problems = registry.discover(options.experiments)
    print(console.experiments(registry.known()))
    for problem in problems:
        _fail(2, problem)
    return 2 if problems else 0


def _show(options: argparse.Namespace) -> int:
    """print an experiment's description, resolved config and command"""
    entry, config = _configured(options)
    from attnjax.experiment import store

    run = store.run_for(entry, config, options.runs)
    where = ["--experiments", str(options.experiments)] if options.experiments else []
    command = shlex.join(["attnjax", "run", entry.name, *options.overrides, *where])
    print(console.description(entry, config, run, command))
    return 0


def _run(options: argparse.Namespace) -> int:
    """train and evaluate an experiment; a stopped run goes on, a finished one shows its result"""
    entry, config = _configured(options)
    from attnjax.experiment.run import run

    again = "the same command continues from there"
    try:
        with sigterm_raises():
            outcome = run(
                entry, config, runs=options.runs, devices=options.devices, sinks=options.sinks, say=_note
            )
    except Terminated:
        _note(f"stopped: {again}")
        return 0
    except KeyboardInterrupt:
        _note(f"interrupted: {again}")
        return 130
    if outcome.result is None:
        _note(f"stopped and saved at step {outcome.step}: {again}")
        return 0
    console.print_result(outcome.run, outcome.result, stored=outcome.stored)
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    """train a run's stored config again and compare the parameters bit for bit"""
    run = _chosen_run(options, options.run)
    from attnjax.experiment.reproduce import reproduce

    with sigterm_raises():
        outcome = reproduce(run, devices=options.devices, say=_note)
    print(console.reproduction(outcome))
    return 0 if outcome.same else 1


def _compare(options: argparse.Namespace) -> int:
    """print where two runs' configs differ, and their results side by side"""
    from attnjax.experiment.compare import compare

    runs = [_chosen_run(options, name) for name in (options.run, options.other)]
    console.print_comparison(compare(*runs))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    """check versions, devices, folders and experiments, and say how to mend what is wrong"""
    from attnjax.experiment.doctor import examine

    findings = []
    for finding in examine(options.runs, registry.discover(options.experiments)):
        console.print_finding(finding)
        findings.append(finding)
    return 1 if any(finding.state == "broken" for finding in findings) else 0


def _translate(options: argparse.Namespace) -> int:
    """translate texts, or the lines of standard input, with a trained run"""
    run = _chosen_run(options, options.run)
    from attnjax.data.parallel_text import decoded_lines
    from attnjax.experiment.translate import translate_lines

    texts = options.texts or decoded_lines(sys.stdin.buffer, "standard input")
    for line in translate_lines(run, texts, alignment=options.alignment, best=options.best):
        print(line, flush=True)
    return 0


def _configured(options: argparse.Namespace) -> tuple[registry.Experiment, Any]:
    """The experiment that the options name and its config with the overrides, or the help they ask for."""
    if options.experiment is None:
        if not options.help:
            raise InputError(
                f"which experiment? `{options.parser.prog} NAME`; `attnjax list` prints the names"
            )
        options.parser.print_help()
        sys.exit(0)
    problems = registry.discover(options.experiments)
    entry = registry.find(options.experiment, problems)
    config = registry.default_config(entry)
    if options.help:
        options.parser.print_help()
        print()
    if options.help or options.overrides:
        from attnjax.experiment import overrides

        arguments = [*options.overrides, *(["--help"] if options.help else [])]
        config = overrides.apply(config, arguments, program=f"{options.parser.prog} {entry.name}")
    return entry, config


def _chosen_run(options: argparse.Namespace, name: str) -> Any:
    from attnjax.experiment import store

    registry.discover(options.experiments)
    return store.resolve(name, options.runs)


def _saying(call: Any) -> Any:
    """The command with notes to the user as its second argument."""
    return functools.wraps(call)(lambda options: call(options, _note))


COMMANDS = {
    "list": (_list, _nothing),
    "show": (_show, _experiment_arguments),
    "run": (_run, _run_arguments),
    "reproduce": (_reproduce, _reproduce_arguments),
    "compare": (_compare, _compare_arguments),
    "doctor": (_doctor, _nothing),
    "translate": (_translate, _translate_arguments),
    "sweep": (_saying(launching(sweep_command.sweep)), with_launcher(sweep_command.sweep_arguments)),
    "status": (_saying(sweep_command.status), sweep_command.status_arguments),
    "resume": (_saying(launching(sweep_command.resume)), with_launcher(sweep_command.resume_arguments)),
    "report": (_saying(sweep_command.report), sweep_command.report_arguments),
    "mask": (mask_command.show, mask_command.arguments),
}

if __name__ == "__main__":
    sys.exit(main())
