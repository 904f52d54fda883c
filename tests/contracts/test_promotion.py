"""Everything traces where jax promotes nothing by itself: neither the ranks of arrays nor their dtypes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax import models, nn
from attnjax.mechanisms import table
from attnjax.models import LanguageModel, LanguageModelConfig, Transformer, TransformerConfig, generate
from attnjax.ops import comparisons, positions
from attnjax.ops.linear import chunked
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.testing.subject import subject_of
from attnjax.train.config import TrainConfig
from attnjax.train.state import init_state, update_ema
from attnjax.train.step import make_train_chunk, traced_values
from tests.daily import daily
from tests.ops.linear.member_cases import A_FEW, MEMBERS, both, draw

B, T, N, H = 2, 4, 2, 8
Q, IDS, LENGTHS = jnp.ones((B, T, N, H)), jnp.zeros((B, T), int), jnp.array([3, 4])
CAUSAL = aj.causal()
RULES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "causal": {"mask": CAUSAL},
    "offsets": {"mask": aj.causal(LENGTHS) & aj.sliding_window(2, 1, LENGTHS)},
    "prefix": {"mask": aj.prefix(LENGTHS) | aj.dilated(2, LENGTHS)},
    "lengths": {"mask": aj.lengths(LENGTHS, LENGTHS)},
    "segments": {"mask": ~aj.segments(IDS)},
    "blocks": {"mask": aj.chunked_causal(2, LENGTHS)},
    "tokens": {"mask": aj.global_tokens([0, 1])},
    "random blocks": {"mask": aj.random_blocks(jax.random.key(0), 2, 1)},
    "neighborhood": {"mask": aj.neighborhood((2, 2), 1)},
    "dense": {"mask": jnp.ones((T, T), bool)},
    "predicate": {"mask": aj.predicate(lambda b, h, i, j: (i + h) % 2 == j)},
    "bias": {"bias": jnp.ones((N, 1, T))},
    "alibi": {"score": aj.alibi(jnp.ones(N)), "mask": CAUSAL},
    "relative bias": {"score": aj.relative_bias(jnp.ones((8, N)))},
    "forget gate": {"score": aj.forget_gate(jnp.ones((B, T, N)))},
    "softcap": {"score": aj.softcap(2.0) >> aj.pair_bias(jnp.ones((T, T)))},
    "score function": {"score": aj.score_fn(lambda s, b, h, i, j, x: s * x, jnp.ones(())), "mask": CAUSAL},
    "sink": {"normalizer": aj.softmax(jnp.ones(N)), "mask": CAUSAL},
    "sigmoid": {"normalizer": aj.sigmoid(jnp.ones(N)), "mask": CAUSAL},
    "sparsemax": {"normalizer": aj.sparsemax(), "mask": CAUSAL},
    "entmax": {"normalizer": aj.entmax(1.5), "mask": CAUSAL},
    "dropout": {"dropout_rate": 0.5, "dropout_key": jax.random.key(0), "mask": CAUSAL},
    "grouped": {"key": Q[:, :, :1], "value": Q[:, :, :1], "mask": CAUSAL},
    "lse": {"return_lse": True, "mask": CAUSAL},
    "additive": {"comparison": comparisons.additive(jnp.ones((N, H)))},
    "general": {"comparison": comparisons.general(jnp.ones((N, H, H)))},
    "cosine": {"comparison": comparisons.cosine(jnp.ones(N))},
    "rbf": {"comparison": comparisons.rbf(jnp.ones(N))},
    "linear combination": {"comparison": comparisons.linear_combination(jnp.ones((N, 3 * H)))},
}
NOT_BLOCKWISE = (("sparsemax", "blockwise"), ("entmax", "blockwise"))


@pytest.fixture(autouse=True)
def _nothing_is_promoted():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def traces(fn: Callable[..., Any], *args: Any, forward: bool = False) -> None:
    """fn and its gradient, and its derivative forward."""

    def total(*args: Any) -> Any:
        return sum(jnp.sum(x) for x in jax.tree.leaves(fn(*args)) if jnp.issubdtype(x.dtype, jnp.floating))

    jax.eval_shape(jax.grad(total), *args)
    if forward:
        jax.eval_shape(lambda *args: jax.jvp(total, args, args), *args)


@pytest.mark.parametrize(
    ("rule", "engine"),
    [(r, e) for e in ("reference", "blockwise") for r in RULES if (r, e) not in NOT_BLOCKWISE],
)
def test_attention(rule, engine):
    options = {"key": Q, "value": Q} | RULES[rule]
    traces(lambda q: aj.attention(q, **options, implementation=engine), Q, forward=True)


def test_what_stands_beside_attention():
    traces(lambda q: aj.attention_weights(q, q, mask=CAUSAL, rows=[0, 2]), Q)
    lse = jnp.ones((B, N, T))
    traces(lambda q: aj.merge_attention([q, q], [lse, lse]), Q)
    traces(lambda q: positions.rope(q, jnp.arange(T), interleaved=True, fraction=0.5), Q)
    longer = positions.DynamicNTKScaling(2.0, 2)
    traces(lambda q: positions.rope(q, jnp.arange(T), scaling=longer), Q)
    jax.eval_shape(lambda: positions.sinusoidal(jnp.arange(T), H))
    jax.eval_shape(lambda: positions.relative_buckets(IDS, jnp.arange(T)))


@pytest.mark.parametrize("form", ["recurrent", "chunked", "parallel"])
def test_the_recurrence(form):
    options = {"segment_ids": IDS, "lengths": LENGTHS, "form": form, "return_state": True}
    for decay in (None, jnp.float32(-0.1), -jnp.ones((B, T, N)), -jnp.ones((B, T, N, H))):
        traces(lambda q, decay=decay: aj.linear_attention(q, q, q, decay=decay, **options), Q)
    if form != "parallel":
        traces(lambda q: aj.linear_attention(q, q, q, erase=q, write=q, **options), Q)


def test_chunks_composed_in_pairs(monkeypatch):
    monkeypatch.setattr(chunked, "_on_cpu", lambda: False)
    traces(lambda q: aj.linear_attention(q, q, q, form="chunked", chunk_size=2), Q)


@pytest.mark.parametrize("name", daily(MEMBERS, A_FEW))
def test_members(name):
    case = draw(name, length=T)
    arrays = {n: jnp.asarray(x, jnp.float32) for n, x in (case.tokens | case.parameters).items()}
    query, key, value = (arrays.pop(n) for n in ("query", "key", "value"))
    options = {"segment_ids": IDS, "lengths": LENGTHS} | case.fixed
    traces(lambda q: MEMBERS[name].function(q, key, value, **arrays, **options), query)
    if MEMBERS[name].two_sided:
        jax.eval_shape(lambda q: both(name, q, key, value, **arrays, **options), query)


@pytest.mark.parametrize("mechanism", daily(["softmax", *MEMBERS], ["softmax", *A_FEW]))
def test_layers(mechanism):
    rope = None if mechanism == "hgrn2" else "halves"
    layer = nn.Attention(16, 2, mechanism=mechanism, rope=rope, rngs=nnx.Rngs(0))
    mask = CAUSAL & aj.lengths(key=LENGTHS) & aj.segments(IDS)
    jax.eval_shape(lambda x: layer(x, mask=mask), jnp.ones((B, T, 16)))
    cache, token = layer.empty_cache((B,), T, jnp.float32), jnp.ones((B, 1, 16))
    jax.eval_shape(lambda x, cache: layer(x, mask=aj.causal(cache.length), cache=cache), token, cache)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n, row in table().items() if row.takes == "tokens" and n not in MEMBERS]
)
def test_layers_of_every_other_mechanism(name):
    subject = subject_of(name)
    layer = subject.make(16, 4, dtype=None, param_dtype=jnp.float32, rngs=nnx.Rngs(0))
    real = aj.lengths(key=LENGTHS)
    mask, x = real if subject.order is None else subject.order & real, jnp.ones((B, 8, 16))
    graphdef, params = nnx.split(layer, nnx.Param)
    jax.eval_shape(jax.grad(lambda p: nnx.merge(graphdef, p)(x, mask=mask).out.sum()), params)
    if subject.streaming:
        cache = layer.empty_cache((B,), 8, jnp.float32)
        jax.eval_shape(lambda x, cache: layer(x, mask=aj.causal(cache.length), cache=cache), x[:, :1], cache)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_integers_of_any_width(x64, dtype):
    few, ids = np.array([3, 4], dtype), np.zeros((B, T), dtype)
    mask = aj.causal(few) & aj.lengths(few, few) & aj.global_tokens(few) & aj.segments(ids, np.int32(ids))
    mask |= aj.prefix(few) | aj.dilated(2, few)
    for engine in ("reference", "blockwise"):
        jax.eval_shape(lambda q, engine=engine: aj.attention(q, q, q, mask=mask, implementation=engine), Q)
    gate = aj.forget_gate(jnp.ones((B, T, N)), offset=few)
    jax.eval_shape(lambda q: aj.attention(q, q, q, score=gate), Q)
    jax.eval_shape(lambda q: aj.linear_attention(q, q, q, lengths=few, segment_ids=ids), Q)


CONFIGS: tuple[dict[str, Any], ...] = (
    {"positions": "learned", "activation": "swiglu", "norm": "rms", "dtype": "bfloat16"},
    {"positions": "sinusoidal", "norm_placement": "post", "tie_embeddings": True, "dtype": "bfloat16"},
    {"positions": "t5"},
    {"positions": "rope", "mechanism": "bigbird(size=2) & forget_gate & sink", "dtype": "bfloat16"},
    {"positions": "none", "mechanism": "gated_delta_net"},
)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_models_and_their_training(config):
    shape = LanguageModelConfig(dim=8, heads=2, layers=1, max_length=8, convolution=2, **config)
    model = LanguageModel(shape, vocab=5, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(model, nnx.Param)

    def loss(params: Any, batch: Any, *, dropout: Any, hyper: Any) -> Any:
        logits = nnx.merge(graphdef, params)(batch["tokens"], dropout=dropout).logits
        return smoothed_cross_entropy(logits, batch["tokens"], batch["tokens"] > 0, hyper["label_smoothing"])

    one, hyper = {"tokens": IDS}, {"label_smoothing": 0.1}
    jax.eval_shape(jax.grad(lambda p: loss(p, one, dropout=None, hyper=hyper)[0]), params)
    train = TrainConfig(steps=4, batch_size=B, warmup_steps=1, accumulate=2, ema_decay=0.5)
    state = jax.eval_shape(lambda: init_state(params, train))
    batches = {"tokens": np.zeros((3, B, T), np.int32)}
    chunk, values = make_train_chunk(loss, train), traced_values(train, hyper)
    jax.eval_shape(chunk, state, batches, values, jax.random.key(0))


def test_the_average_of_narrow_parameters():
    jax.eval_shape(update_ema, jnp.ones(2), jnp.ones(2, jnp.bfloat16), jnp.float32(0.9), jnp.int32(3))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_translation(dtype):
    shape = TransformerConfig(dim=8, heads=2, encoder_layers=1, decoder_layers=1, dtype=dtype)
    model = Transformer(shape, source_vocab=5, target_vocab=5, rngs=nnx.Rngs(0))
    options = {"bos": 1, "eos": 2, "pad": 0, "max_length": T}
    jax.eval_shape(lambda: model(IDS, LENGTHS, IDS, dropout=nn.Dropout(0.5, jax.random.key(0))))
    jax.eval_shape(lambda: generate(model, IDS, LENGTHS, **options).tokens)


@pytest.mark.parametrize("dtype", daily(["float32", "bfloat16"], ["bfloat16"]))
def test_every_strategy_of_generation(dtype):
    shape = LanguageModelConfig(dim=8, heads=2, layers=1, dtype=dtype)
    model = LanguageModel(shape, vocab=5, rngs=nnx.Rngs(0))
    drawn = models.sampling(repetition_penalty=1.2, temperature=0.7, top_k=3, top_p=0.9, min_p=0.1)
    drafted = models.speculative(model, strategy=models.sampling(temperature=0.7))
    options = {"eos": [2], "pad": 0, "max_length": T, "key": jax.random.key(0)}
    for strategy in (models.greedy(), drawn, models.beams(2), models.contrastive_search(2), drafted):
        jax.eval_shape(lambda s=strategy: generate(model, IDS, LENGTHS, strategy=s, **options).tokens)
