"""The algebra of masks over random compositions of every kind, each beside a literal numpy array."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnjax as aj
from attnjax.ops.core.pairs import QUERY_AXIS, Sizes, block, map_grids

BATCH, HEADS = 2, 2
# Few, so that jax compiles its operations for few shapes.
SIZES = ((1, 9), (12, 12), (20, 6))
TILES = ((1, 1), (4, 4), (8, 5))
SLICES = (slice(0, 1), slice(2, 7))
quick = settings(deadline=None, derandomize=True, database=None)


class Case(NamedTuple):
    """A mask and the literal array [B, N, T, S] that it stands for."""

    mask: Any
    literal: np.ndarray

    @property
    def array(self) -> np.ndarray:
        queries, keys = self.literal.shape[2:]
        return np.asarray(self.mask.materialize(queries, keys, batch=(BATCH,), heads=HEADS))


def per_batch(draw: Any, low: int, high: int) -> tuple[Any, Any]:
    """A number as an int, or one per batch element; and as an array that broadcasts to [B, N, T, S]."""
    if draw(st.booleans()):
        n = draw(st.integers(low, high))
        return n, n
    values = np.array(draw(st.lists(st.integers(low, high), min_size=BATCH, max_size=BATCH)))
    return jnp.asarray(values), values[:, None, None, None]


@st.composite
def leaves(draw: Any, queries: int, keys: int, kind: str | None = None) -> Case:
    b, h, i, j = np.ogrid[:BATCH, :HEADS, :queries, :keys]
    small = st.integers(1, 6)
    ids = lambda n: np.array(draw(st.lists(st.integers(0, 2), min_size=BATCH * n, max_size=BATCH * n)))  # noqa: E731
    offset, shift = per_batch(draw, -4, 12)
    kind = kind or draw(st.sampled_from(KINDS if queries == keys == 12 else KINDS[:-1]))
    match kind:
        case "causal":
            mask, literal = aj.causal(offset), j <= i + shift
        case "window":
            left, right = draw(small) - 1, draw(small) - 1
            mask = aj.sliding_window(left, right, offset)
            literal = (i + shift - left <= j) & (j <= i + shift + right)
        case "prefix":
            n, value = per_batch(draw, 0, 10)
            mask, literal = aj.prefix(n), j < value
        case "lengths":
            (q, q_value), (k, k_value) = per_batch(draw, 0, queries), per_batch(draw, 0, keys)
            mask, literal = aj.lengths(q, k), (i < q_value) & (j < k_value)
        case "segments":
            q, k = ids(queries).reshape(BATCH, -1), ids(keys).reshape(BATCH, -1)
            mask, literal = aj.segments(q, k), (q[:, :, None] == k[:, None, :])[:, None]
        case "block diagonal":
            size = draw(small)
            mask, literal = aj.block_diagonal(size, offset), (i + shift) // size == j // size
        case "chunked causal":
            size = draw(small)
            mask = aj.chunked_causal(size, offset)
            literal = ((i + shift) // size == j // size) & (j <= i + shift)
        case "dilated":
            step = draw(small)
            mask, literal = aj.dilated(step, offset), (i + shift - j) % step == 0
        case "global tokens":
            runs = st.builds(range, st.integers(0, 6), st.integers(0, 11))
            tokens = draw(st.lists(st.integers(0, 11), max_size=3) | runs)
            mask = aj.global_tokens(tokens, offset)
            literal = np.isin(i + shift, tokens) | np.isin(j, tokens)
        case "dense":
            shape = [draw(st.sampled_from((1, n))) for n in (BATCH, HEADS, queries, keys)]
            literal = np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.6
            mask = aj.dense(literal)
        case "predicate":
            p = draw(st.integers(1, 5))
            mask, literal = (
                aj.predicate(lambda b, h, i, j: (i + 2 * j + h + b) % p == 0),
                (i + 2 * j + h + b) % p == 0,
            )
        case "blocks":
            size = (draw(small), draw(small))
            shape = [BATCH, HEADS, -(-queries // size[0]), -(-keys // size[1])]
            shape = [draw(st.sampled_from((1, n))) for n in shape]
            array = np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.6
            mask = aj.blocks(array, size if size[0] != size[1] else size[0])
            literal = np.broadcast_to(array, (BATCH, HEADS, -(-queries // size[0]), -(-keys // size[1])))
            literal = literal.repeat(size[0], 2).repeat(size[1], 3)[:, :, :queries, :keys]
        case "interval":
            ends = st.lists(st.integers(-2, keys + 2), min_size=BATCH * queries, max_size=BATCH * queries)
            start, stop = (np.array(draw(ends)).reshape(BATCH, queries) for _ in range(2))
            mask = aj.interval(start, stop)
            literal = ((start[..., None] <= j[0, 0]) & (j[0, 0] < stop[..., None]))[:, None]
        case "relabelled":
            inner = draw(leaves(queries, keys))
            q, k = (draw(st.permutations(range(n))) for n in (queries, keys))
            q, k = np.array([q, q[::-1]]), np.array(k)
            mask = aj.relabel(inner.mask, q, k)
            literal = np.stack([inner.literal[0][:, q[0]], inner.literal[1][:, q[1]]])[..., k]
        case "random blocks":
            mask = aj.random_blocks(jax.random.key(draw(st.integers(0, 9))), draw(small), draw(small))
            literal = np.asarray(mask.materialize(queries, keys))
        case "neighborhood":
            window = np.array((draw(st.integers(1, 3)), draw(st.integers(1, 4))))
            mask, literal = (
                aj.neighborhood((3, 4), tuple(window.tolist())),
                literal_neighborhood((3, 4), window),
            )
    return Case(mask, np.broadcast_to(literal, (BATCH, HEADS, queries, keys)))


KINDS = (
    "causal", "window", "prefix", "lengths", "segments", "block diagonal", "chunked causal", "dilated",
    "global tokens", "dense", "blocks", "interval", "predicate", "relabelled", "random blocks",
    "neighborhood",
)  # fmt: skip


def literal_neighborhood(shape: tuple[int, int], window: np.ndarray) -> np.ndarray:
    place = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=-1)
    start = np.clip(place - window // 2, 0, np.array(shape) - window)[:, None]
    return ((start <= place[None]) & (place[None] < start + window)).all(-1)


def compositions(queries: int, keys: int) -> Any:
    return st.recursive(
        leaves(queries, keys),
        lambda inner: st.one_of(
            st.builds(lambda a, b: Case(a.mask & b.mask, a.literal & b.literal), inner, inner),
            st.builds(lambda a, b: Case(a.mask | b.mask, a.literal | b.literal), inner, inner),
            st.builds(lambda a: Case(~a.mask, ~a.literal), inner),
        ),
        max_leaves=4,
    )


def masks(count: int) -> Any:
    """Tuples of compositions for the same sizes."""
    return st.sampled_from(SIZES).flatmap(lambda size: st.tuples(*[compositions(*size)] * count))


@settings(quick, max_examples=6)
@given(masks(1))
def test_a_composition_equals_its_literal_array(cases):
    np.testing.assert_array_equal(cases[0].array, cases[0].literal)


@settings(quick, max_examples=3)
@given(masks(2))
def test_the_algebra_is_boolean(cases):
    (a, b), shape = (c.mask for c in cases), cases[0].literal

    def equal(x: Any, y: Any) -> None:
        np.testing.assert_array_equal(Case(x, shape).array, Case(y, shape).array)

    equal(~(a & b), ~a | ~b)
    equal(~(a | b), ~a & ~b)
    equal(~~a, a)
    equal(a & b, b & a)
    equal(a | b, b | a)
    equal(a & a, a)
    equal(a | (a & b), a)
    assert not Case(a & ~a, shape).array.any()
    assert Case(a | ~a, shape).array.all()


@settings(quick, max_examples=5)
@given(masks(1), st.sampled_from(SLICES), st.sampled_from(SLICES))
def test_a_block_is_a_slice_of_the_whole(cases, rows, columns):
    (case,) = cases
    queries, keys = case.literal.shape[2:]
    bound = case.mask.bind(Sizes((BATCH,), HEADS, queries, keys))

    def cut(x: Any) -> Any:
        for axis, part in enumerate((rows, columns), start=QUERY_AXIS):
            if x.shape[axis] != 1:
                x = x[(slice(None),) * axis + (part,)]
        return x

    at = block(Sizes((BATCH,), HEADS, queries, keys), jnp.arange(queries)[rows], jnp.arange(keys)[columns])
    want = case.literal[:, :, rows, columns]
    got = map_grids(cut, bound).evaluate(at)
    np.testing.assert_array_equal(np.broadcast_to(got, want.shape), want)


@settings(quick, max_examples=8)
@given(masks(1), st.sampled_from(TILES))
def test_a_class_never_lies(cases, tile_size):
    require_true_classes(cases[0], *tile_size)


@pytest.mark.parametrize("kind", KINDS)
@settings(quick, max_examples=3)
@given(st.data(), st.sampled_from(TILES[1:]))
def test_any_kind_equals_its_literal_array_and_its_classes_never_lie(kind, data, tile_size):
    case = data.draw(leaves(12, 12, kind))
    np.testing.assert_array_equal(case.array, case.literal)
    require_true_classes(case, *tile_size)


def require_true_classes(case: Case, block_q: int, block_k: int) -> None:
    queries, keys = case.literal.shape[2:]
    got = case.mask.classify(queries, keys, block_q=block_q, block_k=block_k, batch=(BATCH,), heads=HEADS)
    tiles = tiles_of(case.literal, block_q, block_k)
    kinds = np.broadcast_to(got, (BATCH, HEADS, *np.shape(got)[2:]))
    for b, h, q, k in np.ndindex(kinds.shape):
        tile = tiles[q][k][b, h]
        assert kinds[b, h, q, k] != 0 or not tile.any(), "a tile classified empty attends"
        assert kinds[b, h, q, k] != 2 or tile.all(), "a tile classified full does not attend somewhere"


@settings(quick, max_examples=8)
@given(
    st.sampled_from(SIZES[1:]),
    st.sampled_from((3, 8)),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(-3, 5),
)
def test_the_classes_of_windows_lengths_prefixes_and_arrays_are_exact(size, tile, left, right, offset):
    """Otherwise the blockwise engine would be right, and dense."""
    for mask in (
        aj.causal(offset),
        aj.sliding_window(left, right, offset),
        aj.lengths(3, 4),
        aj.prefix(right),
        aj.dense(np.tri(*size) > 0),
        aj.blocks(np.tri(-(-size[0] // 3), -(-size[1] // 3)) > 0, 3),
        aj.interval(np.maximum(np.arange(size[0]) - left, 0), np.arange(size[0]) + right + 1),
        aj.relabel(aj.causal(offset), np.arange(size[0]) + right, np.arange(size[1]) * 2),
    ):
        whole = np.asarray(mask.materialize(*size))
        got = mask.classify(*size, block_q=tile, block_k=tile)[0, 0]
        for q, row in enumerate(tiles_of(whole, tile, tile)):
            assert [2 if t.all() else int(t.any()) for t in row] == got[q].tolist()


def tiles_of(array: np.ndarray, block_q: int, block_k: int) -> list[list[np.ndarray]]:
    queries, keys = array.shape[-2:]
    return [
        [array[..., q : q + block_q, k : k + block_k] for k in range(0, keys, block_k)]
        for q in range(0, queries, block_q)
    ]


@settings(quick, max_examples=6)
@given(st.sampled_from((2, 5)), st.integers(1, 5), st.integers(0, 100))
def test_random_blocks_draws_as_many_distinct_blocks_as_asked(size, count, seed):
    mask = aj.random_blocks(jax.random.key(seed), size, count)
    whole = np.asarray(mask.materialize(12, 17)).reshape(12, 17)
    columns = -(-17 // size)
    for row in whole:
        blocks = {j // size for j in np.flatnonzero(row)}
        assert len(blocks) == min(count, columns)
        assert row.sum() == sum(min(size, 17 - size * c) for c in blocks)
    for q in range(0, 12, size):
        assert (whole[q : q + size] == whole[q]).all()
