"""The report card of the mechanisms: a table and a figure of a sweep over them, and what each costs.

    python benchmarks/mechanisms_card.py mechanisms_small [--runs runs] [--rounds 5] [--measure]
        [--sources SOURCE …] [--kept FILE]

The sweep (`experiments/mechanisms.py`) may be half done: the card is made of what there is, and what is
missing is said. The time and the memory of a training step are measured here: the models of all mechanisms in
one process on one device, taking turns, on the sweep's first source. They are kept in the sweep's folder and
measured again only where a mechanism is new, or with --measure; with --rounds 0 none is measured.

It writes card/card.csv, card.md and two figures in the sweep's folder: card with the means over sources
beside the costs, sources with the answers on each source; both as png, svg and pdf.

Nights on several machines add up in the file of --kept (lines of JSON, gzipped): results in it go to trials
of the sweep that wait, which it then does not run, and those of the sweep into the file. A result is known by
the config of its trial; that the code is the same nobody checks. What processors round differently, training
may amplify: between machines a score may differ as it does between seeds.
"""

import argparse
import csv
import dataclasses
import gzip
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from _measure import Times, alternate, machine, summary

from attnjax.config import loss_fields
from attnjax.experiment import registry
from attnjax.experiment.identity import fingerprint
from attnjax.models.sizes import sizes
from attnjax.runs.devices import start_jax
from attnjax.runs.store import write_json
from attnjax.sweeps.report.card import MECHANISM, SOURCE, MeasuredCost, card, markdown, records
from attnjax.sweeps.report.card_figure import card_figure
from attnjax.sweeps.report.card_sources import sources_figure
from attnjax.sweeps.spec import read_spec
from attnjax.sweeps.store import Sweep, read_plan, resolve
from attnjax.tasks.drawn import ANSWERS
from attnjax.tasks.pictures import save
from attnjax.train.state import initial_state
from attnjax.train.step import make_train_step, traced_values

STEPS = 10
"""Steps of training that are timed together."""


def models(sweep: Sweep) -> dict[str, Any]:
    """Returns the config of the first trial of each mechanism."""
    found: dict[str, Any] = {}
    for trial in read_spec(sweep).trials:
        found.setdefault(trial.changes[MECHANISM], trial.config)
    return found


class Step:
    """Steps of training a model, compiled for one device."""

    def __init__(self, config: Any) -> None:
        task, self._key = config.task(), jax.random.key(0)
        self._traced = traced_values(config.train, loss_fields(config))
        self._state = jax.jit(lambda key: initial_state(task, config.train, key))(self._key)
        self._batch = jax.device_put(task.batch(0))
        step = jax.jit(make_train_step(task.loss, config.train), donate_argnums=0)
        self._step = step.lower(self._state, self._batch, self._traced, self._key).compile()
        memory: Any = self._step.memory_analysis()
        self.bytes = int(memory.temp_size_in_bytes)
        self.tokens = task.batch(0)["tokens"].size
        self.sizes = sizes(config.model, vocab=task.source.vocab, length=config.data.length)

    def seconds(self) -> float:
        """Returns the time of a step, the mean of `STEPS`."""
        start = time.perf_counter()
        for _ in range(STEPS):
            self._state, _ = self._step(self._state, self._batch, self._traced, self._key)
        jax.block_until_ready(self._state)
        return (time.perf_counter() - start) / STEPS


def measured(configs: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Returns the costs of each mechanism, and of what they are, as JSON holds them."""
    about = machine()
    steps: dict[str, Step] = {}
    for mechanism, config in configs.items():
        print(f"compiling {mechanism}", flush=True)
        steps[mechanism] = Step(config)
    timed: dict[str, Callable[[], float]] = {name: step.seconds for name, step in steps.items()}
    times: Times = alternate(timed, rounds)
    costs = {}
    for name, row in summary(times).items():
        step = steps[name]
        middle, least, most = (row[f"{which}_s"] / step.tokens for which in ("median", "min", "max"))
        cost = MeasuredCost((middle, least, most), step.bytes, step.sizes.cache, step.sizes.parameters)
        costs[name] = dataclasses.asdict(cost)
    return {"machine": about, "rounds": rounds, "costs": costs}


def exchange(sweep: Sweep, file: Path) -> None:
    """Gives waiting trials the results that a file has of their configs, and the file those that it lacks."""
    lines = gzip.decompress(file.read_bytes()).splitlines() if file.is_file() else []
    known = {row["config"]: row for row in map(json.loads, lines)}
    spec = read_spec(sweep)
    for trial, record in zip(spec.trials, sweep.trials(), strict=True):
        config = fingerprint(spec.experiment.name, trial.config)[:16]
        if record.result is not None:
            known[config] = {"config": config, "changes": record.changes, "result": record.result}
        elif config in known and record.status == "waiting":
            target = sweep.trial(trial.number).result_file
            target.parent.mkdir(parents=True, exist_ok=True)
            write_json(target, known[config]["result"])
    text = "".join(f"{json.dumps(known[config])}\n" for config in sorted(known))
    beside = file.with_name(f"{file.name}.new")
    beside.write_bytes(gzip.compress(text.encode(), mtime=0))
    beside.replace(file)
    print(f"{len(known)} results are in {file}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sweep", help="a sweep's folder, or the start of its name")
    parser.add_argument("--runs", type=Path, default=Path(os.environ.get("ATTNJAX_RUNS") or "runs"))
    parser.add_argument("--rounds", type=int, default=5, help="of measuring (default: 5); 0: no costs")
    parser.add_argument("--measure", action="store_true", help="time and memory anew")
    parser.add_argument("--sources", nargs="+", metavar="SOURCE", help="those of the card (default: all)")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="results of other machines, to add to")
    options = parser.parse_args()
    registry.discover()
    start_jax(1)
    sweep = resolve(options.sweep, options.runs)
    there = {trial.changes[SOURCE] for trial in sweep.trials()}
    if unknown := set(options.sources or ()) - there:
        parser.error(f"--sources: {', '.join(sorted(unknown))}: expected some of {', '.join(sorted(there))}")
    if options.kept:
        exchange(sweep, options.kept)
    folder = sweep.folder / "card"
    folder.mkdir(exist_ok=True)
    configs, kept = models(sweep), folder / "costs.json"
    known = json.loads(kept.read_text()) if kept.is_file() and not options.measure else {"costs": {}}
    if options.rounds and not configs.keys() <= known["costs"].keys():
        known = measured(configs, options.rounds)
        kept.write_text(json.dumps(known, indent=2) + "\n")
    costs = {name: MeasuredCost(**row) for name, row in known["costs"].items()}
    plan = read_plan(sweep)
    trials = [trial for trial in sweep.trials() if trial.changes[SOURCE] in (options.sources or there)]
    rows = card(trials, costs, plan["monitor"][0] if plan else "answers", ANSWERS)
    table = records(rows)
    with (folder / "card.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    (folder / "card.md").write_text(markdown(rows), encoding="utf-8")
    missing = sum(row.missing for row in rows)
    waits = f"; {missing} trials have not ended well" if missing else ""
    caption = f"{sweep.name}: {len(rows)} mechanisms{waits}"
    save(card_figure(rows, caption), folder / "card.png")
    save(sources_figure(rows, caption), folder / "sources.png")
    print(markdown(rows), end="")
    for row in rows:
        lacking = [f"{source} {cell.missing}" for source, cell in row.cells.items() if cell.missing]
        if lacking:
            print(f"missing of {row.mechanism}: {', '.join(lacking)}")
    print(f"kept in {folder}")


if __name__ == "__main__":
    main()
