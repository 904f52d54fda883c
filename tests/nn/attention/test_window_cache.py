"""The cache of a window: it holds no more slots, and gives what one call of all tokens gives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.window_cache import LEAST_SLOTS
from attnjax.nn.latent.selective import SelectiveAttention
from attnjax.ops import masks, normalizers, scores
from tests.daily import daily

T = 64
PIECES = {
    "one by one": [1] * T,
    "a prefill beyond the window": [50, *[1] * 14],
    "prefill in pieces": [7, 30, 2, 1, 1, 20, 3],
    "at once": [T],
}
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {"mechanism": "window(size=20)"},
    "of one token": {"mechanism": "window(size=1)"},
    "grouped heads, rope, sinks": {
        "mechanism": "window(size=20) & softcap(c=3.0) & sink",
        "kv_heads": 2,
        "rope": "halves",
        "qk_norm": True,
    },
    "what goes by position": {
        "mechanism": "window(size=24) & block_diagonal(size=9) & alibi & relative_bias(buckets=8)"
    },
    "without weights to sum": {"mechanism": "window(size=18) & entmax"},
    "the nearest key first": {"mechanism": "window(size=18) & stick_breaking"},
    "a setting": {"window": (19, 3), "sink": True, "memory": 0},
    "a memory": {"window": 20, "memory": 2},
}
DAILY = [
    ("plain", "one by one"),
    ("of one token", "prefill in pieces"),
    ("grouped heads, rope, sinks", "a prefill beyond the window"),
    ("what goes by position", "prefill in pieces"),
    ("the nearest key first", "prefill in pieces"),
    ("a setting", "at once"),
]


def layer(**settings: Any) -> Any:
    module: Any = nn.Attention(16, 4, rngs=nnx.Rngs(0), **settings)
    state = nnx.state(module, nnx.Param)
    noise = jax.random.normal(jax.random.key(3), (4096,))
    # Sinks and tables of buckets start at 0 or near it, where they change little.
    nnx.update(module, jax.tree.map(lambda leaf: leaf + noise[: leaf.size].reshape(leaf.shape) / 4, state))
    return module


def tokens(rows: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (rows, T, 16))


def step_of(module: Any) -> Any:
    return jax.jit(lambda x, cache: module(x, mask=masks.causal(cache.length), cache=cache)[:2])


@pytest.mark.parametrize(
    ("name", "pieces"), daily([(name, pieces) for name in LAYERS for pieces in PIECES], DAILY)
)
def test_pieces_are_one_call(name: str, pieces: str) -> None:
    module, x = layer(**LAYERS[name]), tokens()
    cache, parts, start = module.empty_cache((2,), 4096, x.dtype), [], 0
    assert type(cache) is nn.WindowKVCache
    step = step_of(module)
    for size in PIECES[pieces]:
        out, cache = step(x[:, start : start + size], cache)
        parts.append(out)
        start += size
    whole = jax.jit(lambda x: module(x, mask=masks.causal()).out)(x)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-5)
    assert cache.length.tolist() == [T, T]


def test_it_holds_the_window_alone_and_is_never_full() -> None:
    module = layer(mechanism="window(size=64)", kv_heads=2)
    cache = module.empty_cache((2,), 4096, jnp.bfloat16)
    assert (cache.keys.shape, cache.values.dtype) == ((2, 63, 2, 4), jnp.bfloat16)
    assert layer(mechanism="window(size=3)").empty_cache((2,), 4096, jnp.float32).capacity == LEAST_SLOTS
    module, x = layer(mechanism="window(size=20)"), tokens()
    cache = module.empty_cache((2,), 21, x.dtype)
    out, cache = step_of(module)(x, cache)
    assert (cache.capacity, cache.length.tolist(), bool(jnp.isfinite(out).all())) == (19, [T, T], True)


def test_every_step_is_the_same_program() -> None:
    module, x = layer(mechanism="window(size=20)"), tokens()
    step, cache = step_of(module), module.empty_cache((2,), 4096, jnp.float32)
    for t in range(40):
        _, cache = step(x[:, t : t + 1], cache)
    assert step._cache_size() == 1


KEPT_WHOLE: dict[str, dict[str, Any]] = {
    "no window": {},
    "a window beside others that | joins": {"mechanism": "window(size=4) | global_tokens"},
    "a window inside of another mask": {"mechanism": "longformer(size=4)"},
    "arrays of all blocks": {"mechanism": "window(size=4) & random_blocks"},
    "gates of all keys": {"mechanism": "window(size=4) & forget_gate"},
}


@pytest.mark.parametrize("name", KEPT_WHOLE)
def test_what_looks_farther_keeps_all(name: str) -> None:
    cache = layer(**KEPT_WHOLE[name]).empty_cache((2,), 50, jnp.float32)
    assert cache.capacity == 50
    assert not isinstance(cache, nn.WindowKVCache)


def test_layers_that_read_more_of_a_cache_keep_all() -> None:
    module = SelectiveAttention(16, 4, window=4, rngs=nnx.Rngs(0))  # type: ignore[call-arg]
    assert module.empty_cache((2,), 50, jnp.float32).capacity == 50


def test_a_mesh_that_splits_slots_keeps_all() -> None:
    module = layer(mechanism="window(size=20)")
    mesh = jax.sharding.AbstractMesh((2,), ("context",), (jax.sharding.AxisType.Auto,))

    def capacity(slots: int) -> int:
        with jax.sharding.use_abstract_mesh(mesh):
            return jax.eval_shape(lambda: module.empty_cache((2,), slots, jnp.float32)).keys.shape[1]

    assert (capacity(64), capacity(65)) == (64, 19)


@pytest.mark.parametrize("prefill", [40, 12])
def test_ragged_prompts_decode_as_each_row_alone(prefill: int) -> None:
    module, x = layer(mechanism="window(size=20) & alibi", rope="halves"), tokens(3)
    lengths = jnp.array([prefill, 2, prefill - 7])
    whole = jax.jit(lambda x: module(x, mask=masks.causal()).out)(x)

    @jax.jit
    def call(x: jax.Array, cache: Any, lengths: jax.Array) -> Any:
        return module(x, mask=masks.causal(cache.length) & masks.lengths(key=lengths), cache=cache)[:2]

    padded = jnp.where(jnp.arange(prefill)[None, :, None] < lengths[:, None, None], x[:, :prefill], jnp.nan)
    out, cache = call(padded, module.empty_cache((3,), 4096, x.dtype), lengths)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(out[row, :length], whole[row, :length], atol=1e-5)
    for more in (1, 3, 1):
        at = lengths[:, None] + jnp.arange(more)
        out, cache = call(jnp.take_along_axis(x, at[..., None], axis=1), cache, lengths + more)
        np.testing.assert_allclose(out, jnp.take_along_axis(whole, at[..., None], axis=1), atol=1e-5)
        lengths = lengths + more
    assert cache.length.tolist() == lengths.tolist()


def test_padding_on_the_left_is_never_seen() -> None:
    module, x = layer(mechanism="window(size=20)"), tokens()
    padding = jnp.array([0, 30])

    @jax.jit
    def call(x: jax.Array, cache: Any) -> Any:
        return module(x, mask=masks.causal(cache.length) & ~masks.lengths(key=padding), cache=cache)[:2]

    cache, parts = module.empty_cache((2,), 4096, x.dtype), []
    moved = x.at[1, :30].set(jnp.nan)
    for start, stop in ((0, 32), (32, 33), (33, T)):
        out, cache = call(moved[:, start:stop], cache)
        parts.append(out)
    out = jnp.concatenate(parts, 1)
    np.testing.assert_allclose(out[0], module(x[0], mask=masks.causal()).out, atol=1e-5)
    np.testing.assert_allclose(out[1, 30:], module(x[1, 30:], mask=masks.causal()).out, atol=1e-5)


RULES: dict[str, Any] = {
    "a predicate": lambda offset: {
        "mask": masks.predicate(lambda b, h, i, j: (j % 3 > 0) | (j == i + offset))
    },
    "chunks": lambda offset: {"mask": masks.chunked_causal(7, offset)},
    "a score": lambda offset: {"score": scores.score_fn(lambda s, b, h, i, j: s + jnp.sin(j + 2.0 * i + b))},
    "a normaliser": lambda offset: {"normalizer": normalizers.stick_breaking(offset, own=True)},
    "scores in turn": lambda offset: {"score": scores.softcap(2.0) >> scores.alibi(jnp.ones(4), offset)},
}


@pytest.mark.parametrize("name", daily(RULES, ["chunks", "a score"]))
def test_rules_of_a_call_speak_of_positions(name: str) -> None:
    """As they do with a cache of all tokens, which a layer goes on taking."""
    module, x = layer(mechanism="window(size=20)"), tokens()

    @jax.jit
    def call(x: jax.Array, cache: Any) -> Any:
        given = RULES[name](cache.length[0])
        mask = masks.causal(cache.length)
        given["mask"] = mask & given["mask"] if "mask" in given else mask
        return module(x, **given, cache=cache)[:2]

    window = module.empty_cache((2,), 4096, x.dtype)
    all_tokens = nn.KVCache.empty((2,), T, kv_heads=4, head_dim=4)
    for start, stop in ((0, 40), (40, 41), (41, 44)):
        out, window = call(x[:, start:stop], window)
        expected, all_tokens = call(x[:, start:stop], all_tokens)
        np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("length", [0, 2, 9])
def test_tokens_are_taken_back(length: int) -> None:
    old, new = (jax.random.normal(jax.random.key(i), (2, n, 1, 3)) for i, n in enumerate((length, 4)))
    empty = nn.WindowKVCache.empty((2,), 4, kv_heads=1, head_dim=3)
    before = empty.append(KeysValues(old, 2 * old))
    count = jnp.array([0, 3])
    expected = before.append(KeysValues(new, 2 * new), count)
    given = before.append(KeysValues(new, 2 * new)).taken_back(before, count)
    jax.tree.map(np.testing.assert_array_equal, given, expected)


def test_what_does_not_fit_is_named() -> None:
    module, x = layer(mechanism="window(size=20)"), tokens()
    cache = module(x[:, :3], mask=masks.causal(), cache=module.empty_cache((2,), 99, x.dtype)).cache
    with pytest.raises(ValueError, match=r"with a cache of 3 tokens: .* expected offset=cache\.length"):
        module(x[:, 3:], mask=masks.causal(), cache=cache)
    ids = jnp.ones((2, 39), int)
    for given in (masks.dense(jnp.ones((20, 39), bool)), ~masks.segments(ids[:, :20], ids)):
        with pytest.raises(ValueError, match="a cache of a window takes no array over keys"):
            module(x[:, :20], mask=masks.causal(cache.length) & given, cache=cache)
    with pytest.raises(
        ValueError, match=r"keys \[2, 64, 4, 4\] \(\*B, T, K, H\): the cache has \[3, 19, 4, 4\]"
    ):
        module(x, mask=masks.causal(), cache=module.empty_cache((3,), 99, x.dtype))
