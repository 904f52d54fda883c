"""The map of a mask's blocks as text for the terminal and as a picture."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int8

from attnjax.explain.masks.block_map import BlockMap, Share
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Tiles

if TYPE_CHECKING:
    from attnjax.tasks.pictures import Format

SYMBOLS = {EMPTY: "·", PARTIAL: "▒", FULL: "■"}
COLORS = {EMPTY: "#f1f3f5", PARTIAL: "#8db8de", FULL: "#1f5a94"}
MEANINGS = {EMPTY: "skipped", PARTIAL: "computed, mask evaluated", FULL: "computed, mask not needed"}
MERGED = {EMPTY: "all skipped", PARTIAL: "some computed", FULL: "all computed, mask not needed"}
MOST_CELLS = 48
PICTURE_CELLS = 512


def report(text: str, drawn: BlockMap, columns: int) -> str:
    """Returns the text that the command prints: numbers, then the map, no wider than `columns`."""
    return "\n".join([*_numbers(text, drawn), "", *terminal_map(drawn, columns)])


def terminal_map(drawn: BlockMap, columns: int) -> list[str]:
    """The map in characters, a legend below; several blocks share a character where there are too many."""
    cells, step = merged(drawn.kinds, max(1, min(columns // 2, MOST_CELLS)))
    lines = [" ".join(SYMBOLS[kind] for kind in row) for row in cells.tolist()]
    legend = [f"{SYMBOLS[kind]} {meaning}" for kind, meaning in _meanings(drawn, step).items()]
    # Entries of the legend stay whole where the line is wrapped.
    entries = "   ".join(entry.replace(" ", "\N{NO-BREAK SPACE}") for entry in [_scale(drawn, step), *legend])
    below = textwrap.wrap(entries, columns, break_long_words=False)
    return [*lines, "", *(line.replace("\N{NO-BREAK SPACE}", " ") for line in below)]


def merged(kinds: Int8[np.ndarray, "b h nq nk"], most: int) -> tuple[Int8[np.ndarray, "rows columns"], int]:
    """The kinds in at most `most` rows and columns, and how many blocks each way share a cell.

    A cell is EMPTY or FULL where all its blocks are, of all batch elements and heads; else PARTIAL.

    >>> cells, step = merged(np.array([[[[2, 1, 0, 0], [2, 2, 0, 0], [2, 2, 2, 1]]]], np.int8), 2)
    >>> print(step, cells.tolist())
    2 [[1, 0], [2, 1]]
    """
    step = max(1, -(-max(kinds.shape[2:]) // most))
    low, high = kinds.min((0, 1)), kinds.max((0, 1))
    for axis in (0, 1):
        starts = np.arange(0, low.shape[axis], step)
        low, high = np.minimum.reduceat(low, starts, axis), np.maximum.reduceat(high, starts, axis)
    return np.where(low == high, low, PARTIAL).astype(np.int8), step


def picture(text: str, drawn: BlockMap, format: "Format" = "png") -> bytes:
    """The map as a picture: queries downwards, keys across, the expression and the numbers above."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from attnjax.tasks.pictures import encoded

    cells, step = merged(drawn.kinds, PICTURE_CELLS)
    figure = Figure(figsize=(8.0, 8.0), layout="constrained", facecolor="white", dpi=120)
    axes = figure.subplots()
    height, width = cells.shape[0] * step * drawn.tiles.block_q, cells.shape[1] * step * drawn.tiles.block_k
    colors = ListedColormap([COLORS[kind] for kind in (EMPTY, PARTIAL, FULL)])
    shape: Any = {"extent": (0, width, height, 0), "aspect": "auto", "interpolation": "nearest"}
    axes.imshow(cells, cmap=colors, vmin=EMPTY, vmax=FULL, **shape)
    sizes = drawn.tiles.sizes
    axes.set(xlim=(0, sizes.keys), ylim=(sizes.queries, 0), xlabel="key", ylabel="query")
    if max(cells.shape) <= 64:  # Beyond it lines would hide the blocks.
        for lines, size in ((axes.axvline, drawn.tiles.block_k), (axes.axhline, drawn.tiles.block_q)):
            for place in range(size, max(height, width), size):
                lines(place, color="white", linewidth=0.8)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    for spine in axes.spines.values():
        spine.set_color("0.8")
    figure.suptitle(textwrap.fill(_shortened(text, 200), 70), family="DejaVu Sans Mono", fontsize=11)
    axes.set_title(
        f"computed: {_computed(drawn)}\npairs: {_pairs(drawn.share)}", fontsize=9, loc="left", color="0.35"
    )
    meanings = _meanings(drawn, step).items()
    patches = [Patch(facecolor=COLORS[kind], edgecolor="0.7", label=meaning) for kind, meaning in meanings]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axes.text(0, -0.01, _scale(drawn, step), transform=axes.transAxes, va="top", fontsize=9, color="0.35")
    return encoded(figure, format)


def _numbers(text: str, drawn: BlockMap) -> list[str]:
    sizes, engine = drawn.tiles.sizes, drawn.choice.engine
    lines = [f"mask      {_shortened(text, 200)}"]
    lines.append(f"pairs     {sizes.queries} queries × {sizes.keys} keys: {_pairs(drawn.share)}")
    chosen = drawn.tiles[1:] == drawn.chosen[1:]
    note = "what attention chooses" if chosen else f"attention chooses {_block(drawn.chosen)}"
    lines.append(f"blocks    {_block(drawn.tiles)} ({note})")
    lines.append(f"computed  {_computed(drawn)}")
    lines.append(f"engine    {engine.name}: {drawn.choice.reason}")
    if engine.blocks is None:
        lines.append("          it computes every pair; the blocks are what implementation='blockwise' takes")
    return lines


def _computed(drawn: BlockMap) -> str:
    full, partial, total = drawn.count(FULL), drawn.count(PARTIAL), drawn.kinds.size
    visited = full + partial
    return f"{visited} of {total} blocks ({_percent(visited / total)}), {full} without evaluating the mask"


def _pairs(share: Share) -> str:
    if share.exact:
        return f"{_percent(share.value)} attend"
    return (
        f"about {_percent(share.value)} attend (standard error {_percent(share.error)}: "
        f"from {share.sampled} of {share.partial} partly masked tiles)"
    )


def _percent(share: float) -> str:
    """Three figures, and never 0 % or 100 % for what is only near.

    >>> [_percent(x) for x in (0, 0.00001234, 0.1204, 0.99999, 1)]
    ['0 %', '0.00123 %', '12 %', '99.999 %', '100 %']
    """
    rounded = float(f"{100 * share:.3g}")
    return f"{100 * share:.10g} %" if rounded == 100 != 100 * share else f"{rounded:.10g} %"


def _meanings(drawn: BlockMap, step: int) -> dict[int, str]:
    single = step == 1 and drawn.kinds.shape[:2] == (1, 1)
    return {kind: (MEANINGS if single else MERGED)[kind] for kind in (FULL, PARTIAL, EMPTY)}


def _scale(drawn: BlockMap, step: int) -> str:
    """Returns the meaning of a cell of the map."""
    outer = drawn.kinds.shape[0] * drawn.kinds.shape[1]
    several = f" of {outer} parts of the batch and the heads" if outer > 1 else ""
    return f"one cell: {step} × {step} blocks{several}" if step > 1 or several else "one cell: one block"


def _block(tiles: Tiles) -> str:
    return f"{tiles.block_q} queries × {tiles.block_k} keys"


def _shortened(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
