"""Draws the pictures of the concepts into docs/drawings, as plain SVG: the same bytes at every call.

python scripts/drawings.py [FOLDER]
"""

import sys
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "drawings"
INK, QUIET, PALE = "#1f2430", "#6b7280", "#e5e7eb"
BLUE, SKY, AMBER, GREEN, RED = "#3949ab", "#c5cae9", "#ffb74d", "#a5d6a7", "#e57373"


class Drawing:
    """Shapes on a white sheet."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size, self._title = (width, height), title
        self._shapes: list[str] = []

    def text(
        self, x: float, y: float, words: str, *, size: int = 13, fill: str = INK, at: str = "middle"
    ) -> None:
        """Lines of words; (x, y) is the middle of the first one, or its start or end."""
        for number, line in enumerate(words.split("\n")):
            self._shapes.append(
                f'<text x="{x:g}" y="{y + 0.35 * size + 1.3 * size * number:g}" font-size="{size}" '
                f'fill="{fill}" text-anchor="{at}">{escape(line)}</text>'
            )

    def box(
        self, x: float, y: float, width: float, height: float, words: str = "", *, fill: str = "#ffffff"
    ) -> None:
        """A rectangle with words in its middle."""
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" '
            f'fill="{fill}" stroke="{INK}"/>'
        )
        lines = words.count("\n")
        self.text(x + width / 2, y + height / 2 - 0.65 * 13 * lines, words)

    def cell(self, x: float, y: float, size: float, fill: str) -> None:
        """A square of a matrix."""
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{size - 2:g}" height="{size - 2:g}" fill="{fill}"/>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, *, dashed: bool = False) -> None:
        """A thin line."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._shapes.append(f'<path d="M{x:g} {y:g} L{to_x:g} {to_y:g}" stroke="{QUIET}" fill="none"{dash}/>')

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through the points with a head at its end."""
        path = " L".join(f"{x:g} {y:g}" for x, y in points)
        self._shapes.append(f'<path d="M{path}" stroke="{INK}" fill="none" marker-end="url(#head)"/>')

    def svg(self) -> str:
        """The drawing as the text of a file."""
        width, height = self._size
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'height="{height}" font-family="system-ui, sans-serif" role="img">',
                f"<title>{escape(self._title)}</title>",
                '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
                f'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>',
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
                *self._shapes,
                "</svg>\n",
            ]
        )


def semantics() -> Drawing:
    """The order of the operations, and what they do to a matrix of five queries and six keys."""
    drawing = Drawing(760, 312, "The order of attention: scores, bias, mask, normaliser, dropout, values")
    steps = ["scale · q·k", "scores,\nin order", "+ bias", "mask", "normaliser", "dropout", "· value"]
    for number, words in enumerate(steps):
        x = 10 + 107 * number
        drawing.box(x, 20, 92, 46, words, fill=SKY if words in ("mask", "normaliser") else "#ffffff")
        if number:
            drawing.arrow((x - 15, 43), (x - 1, 43))

    def attended(i: int, j: int) -> bool:
        return i < 4 and j <= i + 1 and j < 4

    shades = ["#e8eaf6", "#c5cae9", "#9fa8da", "#7986cb", "#5c6bc0"]
    stages: list[tuple[str, str, Callable[[int, int], str]]] = [
        ("scores [T, S]", "any number", lambda i, j: shades[(3 * i + 2 * j + i * j) % 5]),
        (
            "masked",
            "grey: not attended,\nwhatever is there, NaN too",
            lambda i, j: shades[(3 * i + 2 * j + i * j) % 5] if attended(i, j) else PALE,
        ),
        (
            "weights",
            "each row sums to 1\n(softmax)",
            lambda i, j: shades[4 - (2 * j + i) % 4] if attended(i, j) else "#fafafa",
        ),
        ("output [T, V]", "no key: 0, lse = −∞,\nno gradient", lambda i, j: AMBER if i == 4 else BLUE),
    ]
    for number, (name, remark, color) in enumerate(stages):
        left, columns = 30 + 185 * number, 3 if number == 3 else 6
        drawing.text(left, 105, name, at="start")
        for i in range(5):
            for j in range(columns):
                drawing.cell(left + 22 * j, 122 + 22 * i, 22, color(i, j))
        drawing.text(left, 252, remark, size=11, fill=QUIET, at="start")
    drawing.text(
        30, 300, "Query 5 attends no key: its row is defined, not NaN.", size=12, fill=QUIET, at="start"
    )
    return drawing


def engines() -> Drawing:
    """From a call to an engine, and the blocks that one of them computes."""
    drawing = Drawing(760, 400, "A call of attention, the engines that can compute it, and blocks of a mask")
    drawing.box(10, 20, 190, 50, "attention(q, k, v, mask=…)")
    drawing.arrow((105, 70), (105, 99))
    drawing.box(10, 100, 190, 50, "an AttentionCall:\nchecked, bound to sizes")
    drawing.arrow((105, 150), (105, 179))
    drawing.box(10, 180, 190, 64, "a choice by size and\nnormaliser; plan_attention\nprints it", fill=SKY)
    drawing.arrow((200, 200), (259, 135))
    drawing.arrow((200, 224), (259, 224))
    drawing.box(260, 104, 170, 60, "reference\nthe formula itself")
    drawing.box(260, 194, 170, 60, "blockwise\nonline softmax of blocks")
    drawing.text(
        10, 290, "in a program that is lowered\nfor a platform with kernels", size=12, fill=QUIET, at="start"
    )
    drawing.box(200, 320, 120, 50, "TPU\nsplash", fill=GREEN)
    drawing.box(340, 320, 180, 50, "CUDA\ncudnn, pallas_gpu", fill=GREEN)
    drawing.arrow((310, 254), (262, 319))
    drawing.arrow((390, 254), (428, 319))
    drawing.text(500, 30, "the blocks of a causal window", at="start")
    for i in range(8):
        for j in range(8):
            near = i - j
            fill = {0: AMBER, 1: BLUE, 2: BLUE, 3: AMBER}.get(near, PALE)
            drawing.cell(500 + 28 * j, 50 + 28 * i, 28, fill)
    for row, (fill, words) in enumerate(
        [(PALE, "empty: never computed"), (BLUE, "full: no mask inside"), (AMBER, "partial: mask per pair")]
    ):
        drawing.cell(560, 300 + 26 * row, 20, fill)
        drawing.text(588, 309 + 26 * row, words, at="start")
    return drawing


Bar = tuple[int, float, float, str, str]


def packs() -> Drawing:
    """Lanes of a pack over time: a lane whose trial ends goes to the next one."""
    drawing = Drawing(760, 300, "Four lanes of one compiled program; trials follow each other in a lane")
    left, unit, top = 90, 62, 60
    drawing.text(left, 26, "one compiled program; each step trains a trial in every lane", at="start")
    bars: Iterable[Bar] = [
        (0, 0, 4, "trial 0", SKY),
        (0, 4, 8, "trial 5", SKY),
        (1, 0, 2, "1 pruned", AMBER),
        (1, 2, 6, "trial 4", SKY),
        (1, 6, 10, "trial 7", SKY),
        (2, 0, 3, "2 diverged", RED),
        (2, 3, 7, "trial 6", SKY),
        (3, 0, 4, "trial 3", SKY),
        (3, 4, 8, "trial 8", SKY),
    ]
    for dispatch in range(11):
        x = left + unit * dispatch
        drawing.line(x, top - 6, x, top + 4 * 44 + 4, dashed=dispatch not in (0, 4, 8))
    for lane in range(4):
        drawing.text(left - 12, top + 21 + 44 * lane, f"lane {lane}", at="end")
    for lane, start, end, words, fill in bars:
        drawing.box(left + unit * start, top + 44 * lane + 4, unit * (end - start) - 3, 34, words, fill=fill)
    drawing.text(
        left, 250, "dashed: between two dispatches lanes change hands", size=12, fill=QUIET, at="start"
    )
    drawing.text(
        left,
        270,
        "solid: a checkpoint of all lanes; killed here, the sweep goes on from it and ends in the same table",
        size=12,
        fill=QUIET,
        at="start",
    )
    return drawing


def bits() -> Drawing:
    """Two runs of one config, one of them killed, and what they share."""
    drawing = Drawing(760, 250, "A run that was killed ends in the bits of one that was not")
    start, step = 120, 0.5

    def x(number: float) -> float:
        return start + step * number

    for number in (0, 250, 500, 750, 1000):
        drawing.line(x(number), 40, x(number), 196, dashed=True)
        drawing.text(x(number), 26, f"step {number}", size=12, fill=QUIET)
    drawing.text(start - 14, 70, "one go", at="end")
    drawing.arrow((x(0), 70), (x(1000), 70))
    drawing.text(start - 14, 130, "kill −9", at="end")
    drawing.arrow((x(0), 130), (x(430), 130))
    drawing.text(x(430) + 14, 130, "✕ killed at step 430", fill="#b71c1c", at="start")
    drawing.arrow((x(430), 138), (x(430), 170), (x(252), 170))
    drawing.arrow((x(250), 180), (x(1000), 180))
    words = "goes on from the checkpoint of step 250;\nbatches and dropout follow from the step's number"
    drawing.text(x(260), 204, words, size=12, fill=QUIET, at="start")
    for y in (70, 180):
        drawing.box(x(1000) + 10, y - 15, 112, 30, "same bits", fill=GREEN)
    return drawing


DRAWINGS = {"semantics": semantics, "engines": engines, "packs": packs, "bits": bits}


def main(folder: Path = FOLDER) -> None:
    """Writes all drawings into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        (folder / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
