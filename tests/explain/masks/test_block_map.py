"""The numbers and drawings of `attnjax mask`, beside the masks themselves."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.config import InputError
from attnjax.explain.masks import block_map as module
from attnjax.explain.masks.block_map import attending, block_map
from attnjax.explain.masks.drawing import merged, picture, report, terminal_map
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL

MASKS = {
    "causal": aj.causal(),
    "window": aj.sliding_window(70, 3) | aj.global_tokens([0, 131]),
    "lengths of each": aj.lengths(key=jnp.array([30, 150])) & aj.causal(40),
    "segments": aj.segments(jnp.arange(300).reshape(2, 150) // 37, jnp.arange(140) // 35),
    "per head": aj.dense(np.random.default_rng(0).random((3, 150, 1)) < 0.4),
    "nothing": ~aj.prefix(140),
}
SIZES = Sizes((2,), 3, 150, 140)


@pytest.mark.parametrize("name", MASKS)
def test_the_share_of_pairs_is_that_of_the_array(name, monkeypatch):
    monkeypatch.setattr(module, "COUNTED", 32)
    share = attending(MASKS[name].bind(SIZES), SIZES)
    want = MASKS[name].materialize(150, 140, batch=(2,), heads=3).mean()
    assert share.exact
    assert share.value == pytest.approx(float(want))


def test_a_sample_of_tiles_is_near_and_says_how_near(monkeypatch):
    monkeypatch.setattr(module, "COUNTED", 16)
    monkeypatch.setattr(module, "SAMPLE", 24)
    mask, sizes = aj.dense(np.random.default_rng(0).random((150, 140)) < 0.3), Sizes((), 1, 150, 140)
    share = attending(mask.bind(sizes), sizes)
    assert (share.sampled, share.partial, share.exact) == (24, 90, False)
    assert 0 < share.error < 0.02
    assert abs(share.value - float(mask.array.mean())) < 3 * share.error


def test_the_blocks_are_those_of_the_plan():
    mask, x = aj.sliding_window(256, 0), jnp.ones((2048, 1, 8))
    drawn, plan = block_map(mask, Sizes((), 1, 2048, 2048)), aj.plan_attention(x, x, x, mask=mask)
    assert (drawn.kinds.size, drawn.count(FULL)) == (plan.total, plan.full)
    assert drawn.count(FULL) + drawn.count(PARTIAL) == plan.visited
    assert (drawn.tiles.block_q, drawn.tiles.block_k) == (plan.block_q, plan.block_k)
    assert drawn.choice.engine.name == plan.engine


def test_blocks_of_another_size_and_larger_than_the_sequence():
    drawn = block_map(aj.causal(), Sizes((), 1, 12, 12), 4, 4)
    assert drawn.kinds[0, 0].tolist() == [[1, 0, 0], [2, 1, 0], [2, 2, 1]]
    assert block_map(aj.prefix(12), Sizes((), 1, 12, 12), 100, 100).kinds.tolist() == [[[[FULL]]]]


def test_too_many_blocks_are_refused_before_anything_is_built():
    with pytest.raises(InputError, match=r"blocks of 1 queries × 1 keys: expected at most 16777216"):
        block_map(aj.causal(), Sizes((), 1, 5000, 5000), 1, 1)
    with pytest.raises(InputError, match="expected at most"):
        block_map(aj.causal(), Sizes((), 1, 2**40, 2**40))


def test_a_cell_of_several_blocks_is_full_or_empty_only_where_all_of_them_are():
    kinds = np.random.default_rng(1).integers(0, 3, (2, 1, 23, 9)).astype(np.int8)
    cells, step = merged(kinds, 6)
    assert (step, cells.shape) == (4, (6, 3))
    for i, j in np.ndindex(cells.shape):
        part = set(kinds[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].ravel().tolist())
        assert cells[i, j] == (part.pop() if len(part) == 1 else PARTIAL)
    assert EMPTY in merged(np.zeros((1, 1, 5, 5), np.int8), 2)[0]


@pytest.mark.parametrize("columns", [1, 20, 80, 300])
def test_the_map_fits_the_terminal(columns):
    drawn = block_map(aj.causal(), Sizes((), 1, 5000, 5000), 32, 32)
    lines = terminal_map(drawn, columns)
    rows = lines[: lines.index("")]
    assert max(map(len, rows)) <= columns
    assert len(rows) <= 48
    assert "one cell: " in "\n".join(lines)


def test_the_report_says_what_the_dense_engine_does():
    drawn = block_map(aj.causal(), Sizes((), 1, 64, 64), 16, 16)
    text = report("causal()", drawn, 80)
    assert "50.8 % attend" in text
    assert "10 of 16 blocks (62.5 %), 6 without evaluating the mask" in text
    assert "16 queries × 16 keys (attention chooses 64 queries × 64 keys)" in text
    assert "it computes every pair" in text
    assert "▒ · · ·\n■ ▒ · ·\n■ ■ ▒ ·\n■ ■ ■ ▒" in text


def test_the_picture_is_a_png_in_the_colors_of_the_kinds():
    import io

    from matplotlib.image import imread

    drawn = block_map(aj.causal(), Sizes((), 1, 12, 8), 4, 4)
    pixels = imread(io.BytesIO(picture("causal() & " * 40, drawn)), format="png")
    seen = {tuple(np.round(c * 255).astype(int)) for c in pixels[300:800, 150:900, :3].reshape(-1, 3)}
    assert {(0xF1, 0xF3, 0xF5), (0x8D, 0xB8, 0xDE), (0x1F, 0x5A, 0x94)} <= seen
