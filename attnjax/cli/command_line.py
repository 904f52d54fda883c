"""`attnjax …`: reads the command line, calls the command and turns its errors into exit codes."""

import argparse
import atexit
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import attnjax
from attnjax.cli import (
    check,
    data,
    embed,
    explain,
    generate,
    mask,
    plan,
    predict,
    pretrained,
    report,
    run_tables,
    runs,
    score,
    serve,
    sweeps,
    transcribe,
)
from attnjax.cli.launching import launching, with_launcher
from attnjax.config import InputError, RunFailed
from attnjax.experiment import registry
from attnjax.runs.exit_codes import STOPPED_BY_CTRL_C, STOPPED_BY_SIGTERM, Terminated
from attnjax.runs.storage import is_url
from attnjax.runs.working_copy import working_copy
from attnjax.tasks.errors import UNWRITABLE

EPILOG = "`attnjax COMMAND --help` says more; `attnjax run EXPERIMENT --help` lists what can be overridden."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 bad input, 130 Ctrl-C, 143 SIGTERM."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with run_tables.warnings_to(_note):
            options, overrides = _parser().parse_known_args(arguments)
            if hasattr(options, "texts") and not any(text.startswith("-") for text in overrides):
                # argparse takes texts that stand behind an option for strangers.
                options.texts, overrides = options.texts + overrides, []
            options.overrides = overrides
            place = options.runs or os.environ.get("ATTNJAX_RUNS") or "runs"
            if overrides and not options.takes_overrides:
                unexpected = next((o for o in overrides if o.startswith("-")), overrides[0])
                raise InputError(f"unexpected argument {unexpected!r}")
            with working_copy(place, _note) if is_url(place) else nullcontext(Path(place)) as options.runs:
                return options.call(options, _note)
    except InputError as error:
        return _fail(2, str(error))
    except RunFailed as error:
        return _fail(1, str(error))
    except Terminated:
        return _fail(STOPPED_BY_SIGTERM, "stopped by SIGTERM")
    except KeyboardInterrupt:
        return _fail(STOPPED_BY_CTRL_C, "interrupted")
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


def program(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and ends the process with its exit code.

    A command that did not end well may have left XLA computing. Taken down while it does, by what runs after
    the exit handlers, XLA can end the process by SIGSEGV: it is not taken down then.
    """
    code = 0

    def leave() -> None:
        if code:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):  # Its reader has left.
                    stream.flush()
            os._exit(code)

    atexit.register(leave)  # Before jax is imported, and so called after all that jax and others leave to do.
    code = main(arguments)
    sys.exit(code)


def run_file(file: str) -> NoReturn:
    """For the last lines of an experiment file: `python FILE …` does what `attnjax run NAME …` does."""
    path = Path(file).resolve()
    names = [experiment.name for experiment in registry.known() if experiment.file == path]
    name = path.stem if path.stem in names or not names else names[0]
    program(["run", name, "--experiments", str(path.parent), *sys.argv[1:]])


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
        overridable = name in ("run", "show", "plan")
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
    where = "of run folders: a folder, or a URL such as gs://BUCKET/runs (default: $ATTNJAX_RUNS or ./runs)"
    group.add_argument("--runs", metavar="DIR|URL", help=where)


def _nothing(parser: argparse.ArgumentParser) -> None:
    pass


# The options of a command, and what it does with them; notes to the user go to its second argument.
COMMANDS = {
    "list": (runs.list_experiments, runs.list_arguments),
    "show": (runs.show, runs.experiment_arguments),
    "plan": (plan.plan, plan.arguments),
    "run": (runs.run, runs.run_arguments),
    "runs": (runs.runs, runs.runs_arguments),
    "prolong": (runs.prolong, runs.prolong_arguments),
    "reproduce": (runs.reproduce, runs.reproduce_arguments),
    "compare": (runs.compare, runs.compare_arguments),
    "doctor": (runs.doctor, _nothing),
    "data": (data.data, data.arguments),
    "predict": (predict.predict, predict.predict_arguments),
    "generate": (generate.generate, generate.arguments),
    "explain": (explain.explain, explain.arguments),
    "embed": (embed.embed, embed.arguments),
    "transcribe": (transcribe.transcribe, transcribe.arguments),
    "translate": (predict.translate, predict.translate_arguments),
    "score": (score.score, score.score_arguments),
    "evaluate": (score.evaluate, score.evaluate_arguments),
    "serve": (serve.serve, serve.arguments),
    "sweep": (launching(sweeps.sweep), with_launcher(sweeps.sweep_arguments)),
    "status": (sweeps.status, sweeps.status_arguments),
    "resume": (launching(sweeps.resume), with_launcher(sweeps.resume_arguments)),
    "report": (report.report, report.report_arguments),
    "mask": (mask.show, mask.arguments),
    "check": (check.check, check.arguments),
    "pretrained": (pretrained.pretrained, pretrained.arguments),
}
