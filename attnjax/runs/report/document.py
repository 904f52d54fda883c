"""HTML pages that need nothing else: style, script and pictures are inside, and a phone can show them."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #c8501e; }
* { box-sizing: border-box }
body { font: 16px/1.55 Charter, Georgia, serif; max-width: 56rem; margin: 0 auto; overflow-wrap: break-word;
padding: clamp(1rem, 4vw, 3rem) clamp(1rem, 4vw, 1.5rem); counter-reset: figure }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .2rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin-top: 2.4rem; break-after: avoid }
.lead { opacity: .8; margin-top: 0 }
.best { border-left: 4px solid var(--accent); background: var(--soft); padding: .7rem 1rem; margin: 1.5rem 0;
overflow-wrap: anywhere }
.best strong { font-size: 1.35rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right }
th:first-child, td:first-child { padding-left: .2rem }
th { min-width: 4.5em; cursor: pointer; border-bottom-width: 2px; vertical-align: bottom }
td { white-space: nowrap }
tr.top td { font-weight: 600 }
figure { margin: 1.6rem 0; counter-increment: figure; break-inside: avoid }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px }
figcaption { font: 13px/1.5 system-ui, sans-serif; opacity: .75; margin-top: .4rem }
figcaption::before { content: "Figure " counter(figure) ". "; font-weight: 600 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px } li { overflow-wrap: anywhere }
"""
SORT = """
document.querySelectorAll('th').forEach(head => head.onclick = () => {
  const column = head.cellIndex, body = head.closest('table').tBodies[0], rows = [...body.rows];
  const key = row => { const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
    return isNaN(parseFloat(text)) ? text : parseFloat(text); };
  const turn = head.dataset.turn = head.dataset.turn === '1' ? '-1' : '1';
  rows.sort((a, b) => (key(a) > key(b) ? 1 : key(a) < key(b) ? -1 : 0) * turn);
  body.append(...rows);
});
"""
# A picture of 160 dots per inch is shown at 120 of the page's pixels per inch, which makes its text nearly as
# large as the page's; on a narrow screen it shrinks to 0.55 of that, and one that is wider still scrolls.
PAGE_PIXELS_PER_PIXEL = 120 / 160
MIN_PICTURE_SCALE = 0.55


def document(title: str, parts: Iterable[str]) -> str:
    """Returns a page of these parts, which are HTML; `title` is text."""
    viewport = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    head = f"<meta charset='utf-8'>{viewport}<title>{text(title)}</title><style>{STYLE}</style>"
    body = "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}</head>\n"
        f"<body>\n{body}\n<script>{SORT}</script></body></html>\n"
    )


def figure(png: bytes, caption: str) -> str:
    """Returns a picture, inside the page, with its caption; both are numbered in order of appearance."""
    data, caption = base64.b64encode(png).decode(), text(caption)
    width = round(PAGE_PIXELS_PER_PIXEL * int.from_bytes(png[16:20]))
    style = f"width:{width}px;min-width:{round(MIN_PICTURE_SCALE * width)}px"
    image = f"<img alt='{caption}' style='{style}' src='data:image/png;base64,{data}'>"
    return f"<figure><div class='wide'>{image}</div><figcaption>{caption}</figcaption></figure>"


def table(heads: Iterable[str], rows: Iterable[Sequence[Any]], *, first_is_best: bool = False) -> str:
    """Returns a table that its reader can sort by a column, in a box that scrolls where it is too wide.

    A cell is a text, or a pair of what is shown and the value that is sorted by. `heads` and cells are text.
    """
    head = "".join(f"<th>{breakable(name)}</th>" for name in heads)
    lines = []
    for i, row in enumerate(rows):
        cells = "".join(_cell(cell) for cell in row)
        lines.append(f"<tr{' class=top' if first_is_best and i == 0 else ''}>{cells}</tr>")
    body = "\n".join(lines)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def text(value: Any) -> str:
    """Returns the value as HTML shows it literally.

    >>> text("a<b")
    'a&lt;b'
    """
    return html.escape(str(value), quote=True)


def breakable(name: str) -> str:
    """Returns a dotted name that may go on in the next line after each of its parts."""
    return text(name).replace(".", ".<wbr>").replace("_", "_<wbr>").replace("/", "/<wbr>")


def _cell(cell: Any) -> str:
    if not isinstance(cell, tuple):
        return f"<td>{text(cell)}</td>"
    shown, value = cell
    own = "" if text(shown) == text(value) else f" data-value='{text(value)}'"
    return f"<td{own}>{text(shown)}</td>"
