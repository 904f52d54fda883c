"""Sparse attention against the modules of open models in transformers, whose weights are copied by hand."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks
from attnjax.ops.sparse import dsa_tokens
from tests.oracles.torch_modules import SIZES, D, N, T, drawn, put, x

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")


def require_another(wrong: Any, right: Any, given: np.ndarray, expected: np.ndarray) -> None:
    """Fails unless a layer with a planted mistake and the right parameters gives something else."""
    nnx.update(wrong, nnx.state(right, nnx.Param))
    assert np.abs(np.asarray(wrong(jnp.asarray(given)).out) - expected).max() > 1e-2


def test_the_lightning_indexer_chooses_the_tokens_that_deepseek_does() -> None:
    peer = importlib.import_module("transformers.models.deepseek_v32.modeling_deepseek_v32")
    config = importlib.import_module("transformers.models.deepseek_v32.configuration_deepseek_v32")
    sizes = {"index_n_heads": 3, "index_head_dim": 8, "qk_rope_head_dim": 4, "index_topk": 3}
    made = config.DeepseekV32Config(**SIZES, **sizes, q_lora_rank=D)
    module = peer.DeepseekV32Indexer(made, layer_idx=0).eval()
    theirs = drawn(module)
    layer = nn.DSA(D, N, count=3, index_heads=3, index_dim=8, rope=nn.Rope(fraction=0.5), rngs=nnx.Rngs(0))
    for ours, name in (("query", "wq_b"), ("key", "wk"), ("gain", "weights_proj")):
        put(getattr(layer.indexer, ours), theirs[f"{name}.weight"])
    layer.indexer.key_norm.scale[...] = jnp.asarray(theirs["k_norm.weight"])
    layer.indexer.key_norm.bias[...] = jnp.asarray(theirs["k_norm.bias"])
    tokens = torch.tensor(x())
    angles = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(2) / 2)
    places = tuple(torch.cat([part(angles)] * 2, dim=-1)[None] for part in (torch.cos, torch.sin))
    causal = torch.tril(torch.ones(T, T, dtype=torch.bool))[None]
    expected = module(tokens, tokens, places, causal, None).numpy()
    with jax.enable_x64(False):
        index = dsa_tokens(*layer._index(jnp.asarray(x()), None, 0), layer.indexer.gain(jnp.asarray(x())), 3)
    for row, i in np.ndindex(2, T):
        assert {*expected[row, i][: i + 1]} == {*np.asarray(index[row, 0, i])} - {-1}


def test_nystromformer() -> None:
    """One head and row: theirs starts the inverse of all heads from the largest sum of the whole batch."""
    peer = importlib.import_module("transformers.models.nystromformer.modeling_nystromformer")
    config = importlib.import_module("transformers.models.nystromformer.configuration_nystromformer")
    sizes = {"num_landmarks": 3, "segment_means_seq_len": 6, "conv_kernel_size": 3}
    made = config.NystromformerConfig(hidden_size=D, num_attention_heads=1, **sizes)
    module = peer.NystromformerSelfAttention(made).eval()
    theirs = drawn(module)
    layer = nn.Nystrom(D, 1, landmarks=3, convolution=3, rngs=nnx.Rngs(0))
    for name in ("query", "key", "value"):
        put(getattr(layer, name), theirs[f"{name}.weight"], theirs[f"{name}.bias"])
    layer.filter[...] = jnp.asarray(theirs["conv.weight"].reshape(1, 3).T)
    put(layer.out, np.eye(D, dtype=np.float32), np.zeros(D, np.float32))
    given = x()[:1, :6]
    with torch.no_grad():
        expected = module(torch.tensor(given))[0].numpy()
    with jax.enable_x64(False):
        np.testing.assert_allclose(layer(jnp.asarray(given)).out, expected, atol=2e-5)
        wrong = nn.Nystrom(D, 1, landmarks=2, convolution=3, rngs=nnx.Rngs(0))
        require_another(wrong, layer, given, expected)


def test_longformer() -> None:
    """A window of 4 on either side and two global tokens, whose projections are those of the others."""
    peer = importlib.import_module("transformers.models.longformer.modeling_longformer")
    config = importlib.import_module("transformers.models.longformer.configuration_longformer")
    made = config.LongformerConfig(hidden_size=D, num_attention_heads=N, attention_window=[8])
    module = peer.LongformerSelfAttention(made, layer_id=0).eval()
    drawn(module)
    layer = nn.Attention(D, N, mechanism="longformer(size=5, tokens=2)", rngs=nnx.Rngs(0))
    for name in ("query", "key", "value"):
        own, of_global = (dict(getattr(module, f"{name}{end}").named_parameters()) for end in ("", "_global"))
        for part, values in own.items():
            of_global[part].data.copy_(values.data)
        put(getattr(layer, name), *(own[part].detach().numpy() for part in ("weight", "bias")))
    put(layer.out, np.eye(D, dtype=np.float32), np.zeros(D, np.float32))
    given = np.random.default_rng(1).normal(size=(2, 24, D)).astype(np.float32)
    first, none = torch.arange(24)[None].repeat(2, 1) < 2, torch.zeros(2, 24, dtype=torch.bool)
    with torch.no_grad():
        expected = module(
            torch.tensor(given),
            attention_mask=10_000.0 * first,
            is_index_masked=none,
            is_index_global_attn=first,
            is_global_attn=True,
        )[0].numpy()
    with jax.enable_x64(False):
        np.testing.assert_allclose(layer(jnp.asarray(given)).out, expected, atol=1e-5, rtol=1e-5)
        for mistake in ("longformer(size=4, tokens=2)", "longformer(size=5, tokens=1)", "window(size=5)"):
            require_another(nn.Attention(D, N, mechanism=mistake, rngs=nnx.Rngs(0)), layer, given, expected)


def test_big_bird() -> None:
    """Near blocks, the first and the last one, and one more of each row, which theirs draws in training.

    Ours has one end of the text as global blocks, so both ends and the drawn blocks come as a mask here.
    """
    peer = importlib.import_module("transformers.models.big_bird.modeling_big_bird")
    config = importlib.import_module("transformers.models.big_bird.configuration_big_bird")
    size, length = 2, 16
    sizes: dict[str, Any] = {"block_size": size, "num_random_blocks": 1, "attention_probs_dropout_prob": 0.0}
    sizes |= {"hidden_size": D, "num_attention_heads": N, "max_position_embeddings": length}
    made = config.BigBirdConfig(**sizes)
    module = peer.BigBirdBlockSparseAttention(made, seed=3).train()
    theirs = drawn(module)
    layer = nn.Attention(D, N, mechanism="bigbird(size=2, count=0, first=1)", rngs=nnx.Rngs(0))
    for name in ("query", "key", "value"):
        put(getattr(layer, name), theirs[f"{name}.weight"], theirs[f"{name}.bias"])
    put(layer.out, np.eye(D, dtype=np.float32), np.zeros(D, np.float32))
    given = np.random.default_rng(1).normal(size=(1, length, D)).astype(np.float32)
    blocked, band, rows, columns = peer.BigBirdModel.create_masks_for_block_sparse_attn(
        torch.ones(1, length), size
    )
    with torch.no_grad():
        expected, weights = module(
            torch.tensor(given), band, rows, columns, blocked, blocked, output_attentions=True
        )
    seen = weights.numpy()[0] > 0
    blocks = seen[:, ::size, ::size]
    at = np.arange(length // size)
    ends = (at == 0) | (at == len(at) - 1)
    near = (np.abs(at[:, None] - at) <= 1) | ends | ends[:, None]
    assert (blocks | ~near).all()
    assert ((blocks & ~near).sum(-1)[:, ~ends] == 1).all()
    with jax.enable_x64(False):
        own = layer(jnp.asarray(given), capture=nn.Capture()).weights[0, 0] > 0
        one_end = (np.abs(at[:, None] - at) <= 1) | (at == 0) | (at[:, None] == 0)
        np.testing.assert_array_equal(own[::size, ::size], one_end)
        whole = nn.SoftmaxAttention(D, N, rngs=nnx.Rngs(0))
        nnx.update(whole, nnx.state(layer, nnx.Param))
        got = whole(jnp.asarray(given), mask=masks.dense(seen)).out
        near_alone = whole(
            jnp.asarray(given), mask=masks.dense(seen & near.repeat(size, 0).repeat(size, 1))
        ).out
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5, rtol=1e-5)
    assert np.abs(near_alone - expected.numpy()).max() > 1e-2
