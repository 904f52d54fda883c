"""The report on a sweep as one HTML page."""

import json
from collections.abc import Mapping
from typing import Any

from attnjax.runs.report.digits import labels, shown, with_spread
from attnjax.runs.report.document import document, figure, table, text
from attnjax.sweeps.report.table import Findings, Setting, changes_text, counted, mean_and_sd, reason_of
from attnjax.sweeps.store import read_plan
from attnjax.train.head_numbers import NUMBERS


def page(found: Findings, figures: Mapping[str, tuple[bytes, str]]) -> str:
    """The page; `figures`: a PNG and its caption for each name."""
    record = found.sweep.record()
    config = json.dumps(record["config"], indent=2)
    counts = ", ".join(f"{number} {status}" for status, number in found.counts.items())
    parts = [
        f"<h1>{text(record['name'])}</h1>",
        f"<p class='lead'>{text(record.get('summary', ''))}</p>",
        f"<p>{len(found.trials)} trials of <b>{text(record['experiment'])}</b>: {counts}. "
        f"Metric: {text(found.metric)}, {'higher' if found.mode == 'max' else 'lower'} is better.</p>",
        _best(found),
        *(figure(*picture) for picture in figures.values()),
        *_unexplained(found),
        "<h2>Settings</h2>",
        _table(found),
        *_heads(found),
        *_unfinished(found),
        "<h2>How it was computed</h2>",
        f"<pre>{text(_provenance(found))}</pre>",
        f"<details><summary>Base config</summary><pre>{text(config)}</pre></details>",
    ]
    return document(record["name"], parts)


def _best(found: Findings) -> str:
    best = found.best
    changes = ", ".join(f"{name} = {shown(value)}" for name, value in best.changes.items())
    seeds = counted(len(best.values), "seed")
    mean, plus, spread = with_spread(best.mean or 0.0, best.sd).partition(" ±")
    note = "<br>Every trial is evaluated at its best validation." if found.weights == "best" else ""
    return (
        f"<div class='best'>Best setting: <strong>{mean}</strong>{plus}{spread} over {seeds}"
        f"<br>{text(changes or 'the base config')}{note}</div>"
    )


def _table(found: Findings) -> str:
    rows: list[list[Any]] = []
    for setting in found.settings:
        mean, sd = mean_and_sd(setting)
        counts = [len(setting.values), setting.failed, setting.pruned]
        rows.append([*_changed(found, setting), (mean, setting.mean), (sd, setting.sd), *counts])
    heads = [*found.axes, found.metric, "± sd", "n", "failed", "pruned"]
    return table(heads, rows, first_is_best=True)


def _heads(found: Findings) -> list[str]:
    """Nothing for models whose weights are not those of tokens among tokens."""
    rows = [
        [*_changed(found, setting), *((f"{x:.4g}", x) for x in setting.heads.values())]
        for setting in found.settings
        if setting.heads
    ]
    if not rows:
        return []
    note = (
        "Means over trials, layers, heads, rows and a few held-out inputs, whose padding counts as others do."
    )
    return ["<h2>Heads of attention</h2>", table([*found.axes, *NUMBERS], rows), f"<p>{note}</p>"]


def _changed(found: Findings, setting: Setting) -> list[tuple[str, Any]]:
    """Returns the cells of a setting's fields."""
    few = {
        name: dict(zip(map(str, v), labels(v), strict=True)) for name, v in found.axes.items() if len(v) <= 12
    }
    values = {name: setting.changes.get(name, "") for name in found.axes}
    return [(few.get(name, {}).get(str(v), shown(v)), v) for name, v in values.items()]


def _unexplained(found: Findings) -> list[str]:
    """Returns paragraphs on fields whose importance cannot be drawn."""
    if found.nothing_varies:
        return ["<p>Nothing varies: all settings have the same mean.</p>"]
    reason = "what it explains on its own cannot be told: it has another value in every setting."
    return [f"<p>{text(name)}: {reason}</p>" for name in found.untold]


def _unfinished(found: Findings) -> list[str]:
    parts = []
    if found.without_metric:
        items = [f"<li>trial {t.number} ({text(changes_text(t.changes))})</li>" for t in found.without_metric]
        reason = f"{text(found.metric)} is no finite number here; no mean counts these trials."
        parts += ["<h2>Without a value</h2>", f"<p>{reason}</p>", f"<ul>{''.join(items)}</ul>"]
    for title, status in (("Failures", "failed"), ("Stopped early", "pruned")):
        items = [
            f"<li>trial {trial.number} ({text(changes_text(trial.changes))}): {text(reason_of(trial))}</li>"
            for trial in found.trials
            if trial.status == status
        ]
        if items:
            parts += [f"<h2>{title}</h2>", f"<ul>{''.join(items)}</ul>"]
    return parts


def _provenance(found: Findings) -> str:
    plan, file = read_plan(found.sweep) or {}, found.sweep.folder / "provenance.json"
    starts = json.loads(file.read_text())["starts"] if file.is_file() else []
    lines = {"command": found.sweep.record().get("command", "")}
    lines |= {name: plan.get(name) for name in ("batching", "width", "devices", "weights")}
    if starts:
        lines |= {name: starts[0].get(name) for name in ("time", "platform", "device_kind")}
        lines |= starts[0].get("versions", {})
    return "\n".join(f"{name:<18} {value}" for name, value in lines.items())
