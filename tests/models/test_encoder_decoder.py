"""The encoder-decoder: every kind of config, padding, causality, capture, dtypes, what it is made of."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.models import Transformer, TransformerConfig
from attnjax.ops import attention as attention_module
from attnjax.ops import masks
from tests.daily import daily

B, S, T = 3, 7, 5
SMALL = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "hidden": 24, "max_length": 32}
VARIANTS: dict[str, dict[str, Any]] = {
    "rope": {},
    "sinusoidal, post": {"positions": "sinusoidal", "norm_placement": "post"},
    "learned, rms, tied": {"positions": "learned", "norm": "rms", "tie_embeddings": True},
    "interleaved, swiglu, grouped, qk_norm": {
        **{"positions": "rope_interleaved", "activation": "swiglu", "kv_heads": 2, "qk_norm": True}
    },
    "alibi, no bias": {"positions": "alibi", "bias": False},
    "t5, multi-query": {"positions": "t5", "kv_heads": 1},
    "none": {"positions": "none"},
    "retention": {"mechanism": "retention"},
}
# What the axes of SMALL's parameters may measure.
NAMED = {
    **{"embed": {16}, "mlp": {24}, "vocab": {9, 11}, "position": {32}, "bucket": {32}},
    **{"heads": {4}, "kv_heads": {1, 2, 4}, "head_dim": {4}},
}
# Positions in embeddings and in attention, and a state.
some_variants = pytest.mark.parametrize(
    "variant",
    daily(
        VARIANTS,
        ["learned, rms, tied", "interleaved, swiglu, grouped, qk_norm", "retention"],
    ),
)


def build(*, source_vocab: int | None = 11, target_vocab: int = 9, **fields: Any) -> Transformer:
    """A small model with every parameter off its initial value."""
    config = TransformerConfig(**{**SMALL, **fields})
    model = Transformer(config, source_vocab=source_vocab, target_vocab=target_vocab, rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape, leaf.dtype)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    nnx.update(model, jax.tree.unflatten(tree, moved))
    return model


@functools.cache
def of_variant(variant: str) -> tuple[Transformer, Callable[..., Any], Callable[..., Any]]:
    """A model, and its programs for logits and for the memory."""
    model = build(**VARIANTS[variant])
    return model, jax.jit(lambda *a: model(*a).logits), jax.jit(lambda *a: model.encode(*a).memory)


def inputs() -> tuple[jax.Array, jax.Array, jax.Array]:
    source = jax.random.randint(jax.random.key(2), (B, S), 0, 11)
    return source, jnp.array([7, 4, 1]), jax.random.randint(jax.random.key(3), (B, T), 0, 9)


@some_variants
def test_padding_does_not_matter(variant: str) -> None:
    (_, run, _), (source, lengths, target) = of_variant(variant), inputs()
    logits = run(source, lengths, target)
    inside = jnp.arange(S) < lengths[:, None]
    changed = jnp.where(inside, source, (source + 1) % 11)
    longer = jnp.concatenate([changed, jnp.full((B, 3), 10)], axis=1)
    np.testing.assert_allclose(run(longer, lengths, target), logits, atol=1e-4)
    assert not np.allclose(run((source + 1) % 11, lengths, target), logits, atol=1e-2)


def test_sources_may_be_padded_on_the_left() -> None:
    model, (source, lengths, target) = jax.jit(build(positions="sinusoidal_halves")), inputs()
    right = model(source, lengths, target).logits
    at = (jnp.arange(S) - (S - lengths[:, None])) % S
    inside = jnp.arange(S) >= S - lengths[:, None]
    left = model(jnp.take_along_axis(source, at, 1), inside, target).logits
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_sources_may_be_frames_of_sound_of_which_two_make_a_vector() -> None:
    model = build(frames=3, max_vectors=4, source_vocab=None)
    frames, (_, _, target) = jax.random.normal(jax.random.key(4), (B, 8, 3)), inputs()
    embedding = model.source_embedding
    x = jnp.pad(frames, ((0, 0), (1, 1), (0, 0)))
    kernel, bias = embedding.first.kernel[...], embedding.first.bias[...]
    x = jax.nn.gelu(sum(x[:, i : i + 8] @ kernel[i] for i in range(3)) + bias, approximate=False)
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    kernel, bias = embedding.second.kernel[...], embedding.second.bias[...]
    x = jax.nn.gelu(sum(x[:, i : i + 8 : 2] @ kernel[i] for i in range(3)) + bias, approximate=False)
    np.testing.assert_allclose(embedding(frames), x + embedding.positions[...], rtol=1e-4, atol=1e-4)
    lengths = jnp.array([4, 2, 3])
    run = jax.jit(lambda frames: model(frames, lengths, target).logits)
    logits = run(frames)
    changed = frames.at[1, 6:].set(7.0)  # The convolutions of the second vector read frames up to 5.
    np.testing.assert_allclose(run(changed), logits, atol=1e-4)
    with pytest.raises(ValueError, match=r"source \[3, 8\]: expected \(B, S, 3\)"):
        model.encode(frames[..., 0], lengths)
    with pytest.raises(ValueError, match=r"frames \[3, 8, 2\]: expected \(B, S, 3\)"):
        model.encode(frames[..., :2], lengths)
    with pytest.raises(ValueError, match="5 vectors of frames: the table of positions has 4 rows"):
        model.encode(jnp.ones((B, 10, 3)), lengths)
    with pytest.raises(ValueError, match=r"source_vocab 11: config\.frames is 3, expected one of both"):
        build(frames=3)


def test_source_and_target_may_share_the_embedding_of_tokens() -> None:
    settings = {"positions": "learned", "tie_embeddings": True, "share_embeddings": True}
    model = build(**settings, embedding_norm=True, tied_bias=True, tied_scale=0.5, target_vocab=11)
    assert model.target_embedding.tokens is None
    assert model.target_embedding.table is not model.source_embedding.table
    source, lengths, target = inputs()
    memory = model.encode(source, lengths).memory
    at, table = model.target_embedding, model.source_embedding.tokens.embedding[...]
    x = at.norm(table[target] * 4 + at.table.embedding[...][:T])
    x = model.decoder[0](x, memory, mask=masks.causal(), context_mask=masks.lengths(key=lengths)).out
    expected = model.decoder_norm(x) @ table.T * 0.5 + model.output_bias[...]
    np.testing.assert_allclose(model(source, lengths, target).logits, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        ValueError, match="source_vocab 11, target_vocab 9: share_embeddings needs equal ones"
    ):
        build(**settings)


@some_variants
def test_a_logit_sees_no_later_target_token(variant: str) -> None:
    (_, run, _), (source, lengths, target) = of_variant(variant), inputs()
    logits = run(source, lengths, target)
    later = run(source, lengths, target.at[:, 3].set((target[:, 3] + 1) % 9))
    np.testing.assert_allclose(later[:, :3], logits[:, :3], atol=1e-5)
    assert not np.allclose(later[:, 3:], logits[:, 3:], atol=1e-3)


@some_variants
def test_decoding_with_the_cache_equals_decoding_without(variant: str) -> None:
    (model, run, encode), (source, lengths, target) = of_variant(variant), inputs()
    memory, whole = encode(source, lengths), run(source, lengths, target)
    step = jax.jit(lambda tokens, cache: model.decode(tokens, None, lengths, cache=cache))
    cache, parts = model.init_cache(memory, lengths, 6), []
    for tokens in (target[:, :3], target[:, 3:4], target[:, 4:]):
        logits, cache, *_ = step(tokens, cache)
        parts.append(logits)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-4)
    assert cache.length.tolist() == [T] * B


@pytest.mark.parametrize("variant", daily(VARIANTS, ["learned, rms, tied", "none"]))
def test_order_matters_where_positions_are_known(variant: str) -> None:
    """Without positions the encoder can't tell an order; with any of the others it can."""
    (_, _, encode), (source, _, _) = of_variant(variant), inputs()
    everything = jnp.full((B,), S)
    memory = encode(source, everything)
    order = jnp.array([2, 0, 1, 3, 5, 4, 6])  # not merely reversed: symmetric ALiBi cannot tell that
    moved = encode(source[:, order], everything)
    assert np.allclose(memory[:, order], moved, atol=1e-4) == (variant == "none")


@pytest.mark.parametrize("variant", daily(VARIANTS, ["learned, rms, tied", "retention"]))
def test_parameters_are_all_there_is_and_all_are_used_and_named(variant: str) -> None:
    (model, _, _), (source, lengths, target) = of_variant(variant), inputs()
    graphdef, params = nnx.split(model, nnx.Param)  # raises if any other state is left over

    @jax.jit
    @jax.grad
    def gradients(params: nnx.State) -> jax.Array:
        logits = nnx.merge(graphdef, params)(source, lengths, target).logits
        return (logits**2 * jax.random.normal(jax.random.key(0), logits.shape)).mean()

    flat = jax.tree.leaves_with_path(gradients(params))
    still = [jax.tree_util.keystr(path) for path, gradient in flat if not np.abs(gradient).max() > 1e-9]
    # One bias on all keys shifts all scores of a row alike: the softmax sees it only through RoPE or a norm.
    assert all("'key'" in path and "'bias'" in path for path in still), still
    names = jax.tree.leaves(nn.logical_axes(params), is_leaf=lambda node: isinstance(node, tuple))
    for name, leaf in zip(names, jax.tree.leaves(params), strict=True):
        assert all(size in NAMED[axis] for axis, size in zip(name, leaf.shape, strict=True)), (
            name,
            leaf.shape,
        )


def test_capture_names_layers_and_changes_no_bit() -> None:
    model, (source, lengths, target) = build(encoder_layers=2, decoder_layers=2), inputs()
    plain = jax.jit(lambda: model(source, lengths, target).logits)()
    logits, _, captured, *_ = jax.jit(lambda: model(source, lengths, target, capture=nn.Capture()))()
    np.testing.assert_array_equal(np.asarray(logits), np.asarray(plain))
    assert {path: weights.shape for path, weights in captured.items()} == {
        **{f"encoder.{i}.attention": (B, 4, S, S) for i in range(2)},
        **{f"decoder.{i}.self_attention": (B, 4, T, T) for i in range(2)},
        **{f"decoder.{i}.cross_attention": (B, 4, T, S) for i in range(2)},
    }
    assert not captured["decoder.1.cross_attention"][2, :, :, 1:].any()  # a source of one token
    request = nn.Capture(layers=(1,), heads=(2,), rows=(0, 3))
    request = dataclasses.replace(request, hidden=True)
    _, _, part, hidden, _ = jax.jit(lambda: model(source, lengths, target, capture=request))()
    assert {path: weights.shape for path, weights in part.items()} == {
        "encoder.1.attention": (B, 1, 2, S),
        "decoder.1.self_attention": (B, 1, 2, T),
        "decoder.1.cross_attention": (B, 1, 2, S),
    }
    of_stack = (
        "encoder.1",
        "decoder.1",
        "source_embedding",
        "target_embedding",
        "encoder_norm",
        "decoder_norm",
    )
    assert {path: x.shape for path, x in hidden.items()} == dict.fromkeys(of_stack, (B, 2, model.config.dim))
    with pytest.raises(ValueError, match=r"capture.layers \(2,\): there are 2"):
        model(source, lengths, target, capture=nn.Capture(layers=(2,)))


def test_a_capture_asks_each_stack_for_the_layers_and_rows_that_it_has() -> None:
    model = build(encoder_layers=1, decoder_layers=2)
    source, lengths, target = jnp.ones((B, S), int), jnp.full(B, S), jnp.ones((B, T), int)
    captured = model(source, lengths, target, capture=nn.Capture(layers=(1,), rows=(0, S - 1))).weights
    assert {path: weights.shape for path, weights in captured.items()} == {
        "decoder.1.self_attention": (B, 4, 1, T),
        "decoder.1.cross_attention": (B, 4, 1, S),
    }
    captured = model(source, lengths, target, capture=nn.Capture(layers=(0,), rows=(S - 1,))).weights
    assert captured["encoder.0.attention"].shape == (B, 4, 1, S)
    with pytest.raises(ValueError, match=r"capture.rows \(7,\): there are 7"):
        model(source, lengths, target, capture=nn.Capture(rows=(S,)))


def test_a_recurrence_has_no_weights_to_capture_or_to_drop() -> None:
    model = build(mechanism="mamba2", kv_heads=2)
    dropout = nn.Dropout(0.1, jax.random.key(0))
    captured = jax.eval_shape(lambda *a: model(*a, dropout=dropout, capture=nn.Capture()), *inputs()).weights
    assert set(captured) == {"decoder.0.cross_attention"}


def test_no_capture_is_the_program_without_capture() -> None:
    model, arguments = build(), inputs()

    def text(**options: Any) -> str:
        return jax.jit(lambda *a: model(*a, **options)).lower(*arguments).as_text()

    assert text() == text(capture=None)
    assert text() != text(capture=nn.Capture(rows=(0,)))


def test_dropout_is_traced_and_off_at_rate_zero() -> None:
    model, arguments = build(), inputs()
    compiled = []

    @jax.jit
    def apply(dropout: nn.Dropout) -> jax.Array:
        compiled.append(1)
        return model(*arguments, dropout=dropout).logits

    plain = jax.jit(model)(*arguments).logits
    np.testing.assert_allclose(apply(nn.Dropout(jnp.float32(0), jax.random.key(0))), plain, atol=1e-4)
    some = [apply(nn.Dropout(jnp.float32(0.3), jax.random.key(i))) for i in (0, 0, 1)]
    np.testing.assert_array_equal(some[0], some[1])
    assert not np.allclose(some[0], some[2], atol=1e-2)
    assert not np.allclose(some[0], plain, atol=1e-2)
    assert len(compiled) == 1


def test_every_use_of_dropout_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []

    def record(key: jax.Array | None) -> None:
        keys.append(tuple(jax.random.key_data(key).tolist()))

    def attention(*args: Any, dropout_key: jax.Array | None, **options: Any) -> jax.Array:
        record(dropout_key)
        return plain(*args, dropout_key=dropout_key, **options)

    plain = attention_module.attention
    monkeypatch.setattr(attention_module, "attention", attention)
    monkeypatch.setattr(nn.Dropout, "__call__", lambda dropout, x: (record(dropout.key), x)[1])
    model = build(encoder_layers=2, decoder_layers=2)
    model(*inputs(), dropout=nn.Dropout(0.3, jax.random.key(0)))
    # Two embeddings; for each layer weights, attention and feed-forward, of attention two in the decoder.
    assert len(keys) == 2 + 2 * 3 + 2 * 5
    assert len(set(keys)) == len(keys)


def test_bfloat16_computes_near_float32_from_float32_parameters() -> None:
    arguments = inputs()
    half = build(dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype(jnp.float32)}
    logits, exact = (jax.jit(model)(*arguments).logits for model in (half, build()))
    assert jax.eval_shape(half.encode, *arguments[:2]).memory.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    error = np.abs(logits - exact)
    assert 1e-5 < error.mean() < 0.05 * float(exact.std())


def test_lightning_counts_the_layers_of_each_stack() -> None:
    model = build(mechanism="lightning", positions="none", encoder_layers=2, decoder_layers=3)
    given = [dict(block.attention.recurrence.arguments)["layer"] for block in model.encoder]
    given += [dict(block.self_attention.recurrence.arguments)["layer"] for block in model.decoder]
    assert given == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_stack_ends_in_a_norm_where_its_blocks_do_not(placement: str) -> None:
    model = build(norm_placement=placement)
    assert [norm is not None for norm in (model.encoder_norm, model.decoder_norm)] == [placement == "pre"] * 2


def test_the_encoder_tells_the_keys_after_a_query_from_those_before() -> None:
    model = build(positions="t5")
    assert (model.encoder_score.bidirectional, model.decoder_score.bidirectional) == (True, False)


def test_rope_is_in_halves_and_interleaved_only_where_asked() -> None:
    layouts = [build(positions=p).encoder[0].attention.rope for p in ("rope", "none")]
    assert layouts == [nn.Rope("halves"), None]


def test_tied_embeddings_share_one_table() -> None:
    tied, free = build(tie_embeddings=True), build()
    assert tied.output is None
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model))) for model in (tied, free)]
    assert sizes[1] - sizes[0] == 16 * 9 + 9


def test_works_under_a_mesh() -> None:
    model = build()
    with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))):
        assert jax.eval_shape(lambda *a: model(*a).logits, *inputs()).shape == (B, T, 9)


def test_what_does_not_fit_is_named() -> None:
    model, (source, lengths, target) = build(), inputs()
    with pytest.raises(ValueError, match=r"source \[7\]: expected \(B, S\)"):
        model.encode(source[0], lengths)
    with pytest.raises(ValueError, match=r"source_lengths \[2\]: expected \[3\] for the tokens \[3, 7\]"):
        model.encode(source, lengths[:2])
    with pytest.raises(ValueError, match="memory None"):
        model.decode(target, None, lengths)
