"""`attnjax report` of a run or a sweep."""

import argparse
from typing import get_args

from attnjax.config import require
from attnjax.experiment import registry
from attnjax.runs.start import Notify
from attnjax.runs.store import Run
from attnjax.sweeps.registry import Mode, require_metric
from attnjax.sweeps.store import resolve_run_or_sweep


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax report`."""
    parser.add_argument("name", metavar="RUN|SWEEP", help="a folder, its name, or the start of that")
    text = "fields of the heat map's rows and columns, and of the curves (default: the most important ones)"
    parser.add_argument("--axes", nargs="+", metavar="FIELD", default=[], help=text)
    parser.add_argument("--metric", metavar="ROW/COLUMN", help="another cell than the sweep's that counts")
    parser.add_argument("--mode", choices=get_args(Mode), help="which end of it is better")


def report(options: argparse.Namespace, notify: Notify) -> int:
    """Writes figures and a page on a run or a sweep, with tables for a sweep, and prints the findings."""
    from attnjax.cli.sweep_tables import print_report
    from attnjax.sweeps.report.write import write_report

    require_metric("--metric", options.metric)
    found = resolve_run_or_sweep(options.name, options.runs)
    if isinstance(found, Run):
        return _report_run(found, options)
    print_report(write_report(found, axes=options.axes, metric=options.metric, mode=options.mode))
    return 0


def _report_run(run: Run, options: argparse.Namespace) -> int:
    from attnjax.cli.run_tables import print_run_report
    from attnjax.runs.report.page import write_run_report

    for flag in ("axes", "metric", "mode"):
        require(not getattr(options, flag), f"--{flag} is for a sweep: {run.name} is a run")
    registry.discover(options.experiments)
    print_run_report(write_run_report(run))
    return 0
