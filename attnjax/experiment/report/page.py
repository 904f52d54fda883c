"""The report as one HTML page that needs nothing else: pictures and style are inside."""

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from attnjax.experiment.report.table import Findings, Setting, changes_text, counted, reason_of
from attnjax.experiment.sweep_store import read_plan

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #c8501e; }
body { font: 16px/1.55 Charter, Georgia, serif; max-width: 56rem; margin: 3rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.4rem }
.lead { opacity: .8; margin-top: 0 } .best { border-left: 4px solid var(--accent); background: var(--soft);
padding: .7rem 1rem; margin: 1.5rem 0 } .best strong { font-size: 1.35rem }
table { border-collapse: collapse; font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right }
th { cursor: pointer; border-bottom-width: 2px } tr.top td { font-weight: 600 }
.wide { overflow-x: auto } figure { margin: 1.2rem 0 }
img { max-width: 100%; background: #fff; border-radius: 4px }
body { counter-reset: figure } figure { counter-increment: figure; break-inside: avoid }
figcaption { font: 13px/1.5 system-ui, sans-serif; opacity: .75 }
figcaption::before { content: "Figure " counter(figure) ". "; font-weight: 600 }
h2 { break-after: avoid } pre { overflow-x: auto; font-size: 13px }
"""
SORT = """
document.querySelectorAll('th').forEach((head, column) => head.onclick = () => {
  const body = head.closest('table').tBodies[0], rows = [...body.rows];
  const key = row => { const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
    return isNaN(parseFloat(text)) ? text : parseFloat(text); };
  const turn = head.dataset.turn = head.dataset.turn === '1' ? '-1' : '1';
  rows.sort((a, b) => (key(a) > key(b) ? 1 : key(a) < key(b) ? -1 : 0) * turn);
  body.append(...rows);
});
"""


def page(found: Findings, figures: Mapping[str, tuple[bytes, str]]) -> str:
    """The page; `figures`: a PNG and its caption for each name."""
    record = found.sweep.record()
    config = json.dumps(record["config"], indent=2)
    counts = ", ".join(f"{number} {status}" for status, number in found.counts.items())
    parts = [
        f"<h1>{_text(record['name'])}</h1>",
        f"<p class='lead'>{_text(record.get('summary', ''))}</p>",
        f"<p>{len(found.trials)} trials of <b>{_text(record['experiment'])}</b>: {counts}. "
        f"Measure: {_text(found.measure)}, {'higher' if found.mode == 'max' else 'lower'} is better.</p>",
        _best(found),
        *(_figure(*picture) for picture in figures.values()),
        *_unexplained(found),
        "<h2>Settings</h2>",
        _table(found),
        *_unfinished(found),
        "<h2>How it was computed</h2>",
        f"<pre>{_text(_provenance(found))}</pre>",
        f"<details><summary>Base config</summary><pre>{_text(config)}</pre></details>",
    ]
    title = f"<title>{_text(record['name'])}</title>"
    head = f"<head><meta charset='utf-8'>{title}<style>{STYLE}</style></head>"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang='en'>{head}\n<body>\n{body}\n<script>{SORT}</script></body></html>\n"


def _best(found: Findings) -> str:
    best = found.best
    changes = ", ".join(f"{name} = {value}" for name, value in best.changes.items()) or "the base config"
    seeds = counted(len(best.values), "seed")
    return (
        f"<div class='best'>Best setting: <strong>{_number(best.mean)}</strong>"
        f"{_spread(best)} over {seeds}<br>{_text(changes)}</div>"
    )


def _figure(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return (
        f"<figure><img alt='{_text(caption)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _table(found: Findings) -> str:
    names = list(found.axes)
    heads = "".join(
        f"<th>{_text(name)}</th>" for name in [*names, found.measure, "± sd", "n", "failed", "pruned"]
    )
    rows = []
    for i, setting in enumerate(found.settings):
        values = [_text(str(setting.changes.get(name, ""))) for name in names]
        values += [_number(setting.mean), _number(setting.sd, 2), str(len(setting.values))]
        values += [str(setting.failed), str(setting.pruned)]
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows.append(f"<tr{' class=top' if i == 0 else ''}>{cells}</tr>")
    body = "\n".join(rows)
    return f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _unexplained(found: Findings) -> list[str]:
    """What there is to say where the importance of a field cannot be drawn."""
    if found.nothing_varies:
        return ["<p>Nothing varies: all settings have the same mean.</p>"]
    text = "what it explains on its own cannot be told: it has another value in every setting."
    return [f"<p>{_text(name)}: {text}</p>" for name in found.untold]


def _unfinished(found: Findings) -> list[str]:
    parts = []
    for title, status in (("Failures", "failed"), ("Stopped early", "pruned")):
        items = [
            f"<li>trial {trial.number} ({_text(changes_text(trial.changes))}): {_text(reason_of(trial))}</li>"
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
    lines |= {name: plan.get(name) for name in ("lowering", "width", "devices")}
    if starts:
        lines |= {name: starts[0].get(name) for name in ("time", "platform", "device_kind")}
        lines |= starts[0].get("versions", {})
    return "\n".join(f"{name:<18} {value}" for name, value in lines.items())


def _spread(setting: Setting) -> str:
    return "" if setting.sd is None else f" ± {_number(setting.sd, 2)}"


def _number(value: float | None, digits: int = 4) -> str:
    return "—" if value is None else f"{value:.{digits}g}"


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
