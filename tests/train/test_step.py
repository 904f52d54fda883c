"""The step: hyperparameters are traced, micro-batches are exact, chunks are steps."""

import dataclasses
import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.train.config import TrainConfig
from attnjax.train.hashing import params_hash
from attnjax.train.rngs import Stream, stream_key
from attnjax.train.state import evaluation_params, init_state, update_ema
from attnjax.train.step import make_train_chunk, make_train_step, traced_values
from tests.train.toy import ToyTask

pytestmark = pytest.mark.versions

CONFIG = TrainConfig(steps=10, batch_size=8, warmup_steps=2)
KEY = jax.random.key(0)


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def _state(task: ToyTask, *, ema: bool = False, dtype: str = "float32"):
    params = jax.tree.map(lambda x: x.astype(dtype), task.init(KEY))
    return init_state(params, TrainConfig(ema_decay=0.5 if ema else 0.0))


def _chunk(task: ToyTask, steps: int) -> dict[str, np.ndarray]:
    return jax.tree.map(lambda *arrays: np.stack(arrays), *[task.batch(step) for step in range(steps)])


def test_configs_that_differ_in_traced_fields_share_one_compilation() -> None:
    task = ToyTask()
    other = dataclasses.replace(
        CONFIG,
        learning_rate=0.1,
        weight_decay=0.0,
        dropout=0.0,
        beta1=0.8,
        beta2=0.9,
        clip_norm=9.0,
        ema_decay=0.5,
    )
    state, batches = _state(task, ema=True), _chunk(task, 3)
    cases = [
        (config, traced_values(config, {"label_smoothing": smoothing}))
        for config, smoothing in ((CONFIG, 0.0), (other, 0.1))
    ]
    program = [
        jax.jit(make_train_chunk(task.loss, config)).lower(state, batches, traced, KEY).as_text()
        for config, traced in cases
    ]
    assert program[0] == program[1]
    chunk = jax.jit(make_train_chunk(task.loss, CONFIG))
    results = [chunk(state, batches, traced, KEY) for _, traced in cases]
    assert chunk._cache_size() == 1
    assert params_hash(results[0][0].params) != params_hash(results[1][0].params)


def test_a_chunk_equals_its_steps() -> None:
    task = ToyTask()
    hyper, batches = traced_values(CONFIG, {}), _chunk(task, 4)
    chunked, metrics = jax.jit(make_train_chunk(task.loss, CONFIG))(_state(task), batches, hyper, KEY)
    state, step, losses = _state(task), jax.jit(make_train_step(task.loss, CONFIG)), []
    for index in range(4):
        state, step_metrics = step(state, task.batch(index), hyper, KEY)
        losses.append(step_metrics["loss"])
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), chunked, state)
    assert int(chunked.step) == 4


@pytest.mark.parametrize("accumulate", [1, 4])
def test_no_loop_of_a_step_takes_its_batch_out_of_the_chunk(accumulate: int) -> None:
    """XLA's CPU would read a mask's lengths through a slice for every pair, without vector instructions."""

    def loss(params, batch, *, dropout, hyper):
        attended = batch["segments"][:, :, None] == batch["segments"][:, None, :]
        weights = jnp.where(attended, jnp.exp(batch["x"][:, :, None] * params * batch["x"][:, None, :]), 0)
        value = jnp.sum(jnp.log(weights.sum(-1)))
        return value, {"loss": value, "weight": jnp.ones(())}

    batches = {"x": jnp.ones((3, 8, 6)), "segments": jnp.zeros((3, 8, 6), jnp.int32)}
    state, traced = init_state(jnp.ones(()), CONFIG), traced_values(CONFIG, {})
    config = dataclasses.replace(CONFIG, accumulate=accumulate)
    chunk = jax.jit(make_train_chunk(loss, config)).lower(state, batches, traced, KEY)
    loops = re.split(r"\n(?=%|ENTRY)", chunk.compile().as_text())
    assert any("exponential(" in loop for loop in loops)
    assert not [loop for loop in loops if "exponential(" in loop and "dynamic-slice(" in loop]


@pytest.mark.usefixtures("float64")
def test_accumulated_micro_batches_equal_the_whole_batch() -> None:
    task = ToyTask(batch_size=12)
    config = dataclasses.replace(CONFIG, batch_size=12, dropout=0.0)
    lengths = (task.batch(0)["target"] != 0).sum(axis=1)
    assert lengths[0::2].sum() != lengths[1::2].sum(), (
        "equal weights could not tell a plain mean from this one"
    )

    def after(accumulate: int):
        step = jax.jit(make_train_step(task.loss, dataclasses.replace(config, accumulate=accumulate)))
        return step(_state(task, dtype="float64"), task.batch(0), traced_values(config, {}), KEY)

    whole, whole_metrics = after(1)
    for accumulate in (2, 3):
        state, metrics = after(accumulate)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), state, whole)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), metrics, whole_metrics)


def test_micro_batches_draw_their_own_dropout() -> None:
    def loss(params, batch, *, dropout, hyper):
        drawn = jnp.sum(dropout(jnp.ones(64)) * params * jnp.arange(64.0))
        return drawn, {"loss": drawn, "weight": jnp.ones(())}

    def drawn(accumulate: int) -> float:
        config = dataclasses.replace(CONFIG, accumulate=accumulate, dropout=0.5)
        step = make_train_step(loss, config)
        state = init_state(jnp.ones(()), config)
        return float(step(state, {"x": jnp.zeros(8)}, traced_values(config, {}), KEY)[1]["loss"])

    assert drawn(1) != drawn(2)


def test_dropout_changes_with_the_step_and_the_seed() -> None:
    keys = [stream_key(jax.random.key(seed), Stream.DROPOUT, step) for seed in (0, 1) for step in (0, 1)]
    keys += [stream_key(jax.random.key(0), Stream.INIT, step) for step in (0, 1)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 6


def test_the_average_of_bfloat16_parameters_moves_as_that_of_float32_ones() -> None:
    def averaged(dtype: jnp.dtype) -> jax.Array:
        """Of a weight that walks from 1 to 1.2 in 2000 steps."""
        first = init_state({"w": jnp.ones(2, dtype)}, TrainConfig(ema_decay=0.5))

        def walk(state, step):
            params = {"w": jnp.full(2, 1 + 0.2 * step / 2000, dtype)}
            return state._replace(ema=update_ema(state.ema, params, jnp.float32(0.99), step)), None

        last, _ = jax.lax.scan(walk, first, jnp.arange(2000))
        return evaluation_params(last)["w"]

    assert averaged(jnp.bfloat16).dtype == jnp.float32
    np.testing.assert_allclose(averaged(jnp.bfloat16), averaged(jnp.float32), atol=2**-8)
    np.testing.assert_allclose(averaged(jnp.float32), 1.19, atol=1e-3)


@pytest.mark.parametrize("accumulate", [1, 512])
def test_sums_over_leaves_and_micro_batches_of_bfloat16_do_not_stand_still(accumulate: int) -> None:
    # Each example has gradient 16 in one leaf, and 1 in each of 24 after it. 256 + 1 is 256 in bfloat16.
    def loss(params, batch, *, dropout, hyper):
        value = (15 * params["00"] + sum(params.values())) * jnp.mean(batch["x"])
        return value, {"loss": value, "weight": jnp.bfloat16(batch["x"].size)}

    config = dataclasses.replace(CONFIG, batch_size=512, accumulate=accumulate, clip_norm=1e9)
    state = init_state({f"{i:02}": jnp.bfloat16(1 / 40) for i in range(25)}, config)
    batch = {"x": jnp.ones(512, jnp.bfloat16)}
    _, metrics = make_train_step(loss, config)(state, batch, traced_values(config, {}), KEY)
    np.testing.assert_allclose(metrics["grad_norm"], (256 + 24) ** 0.5, rtol=1e-3)
    assert metrics["weight"] == 512


def test_the_average_follows_the_parameters() -> None:
    ema, params = {"w": jnp.zeros(2)}, {"w": jnp.ones(2)}
    late = update_ema(ema, params, jnp.float32(0.9), jnp.int32(10_000))
    early = update_ema(ema, params, jnp.float32(0.9), jnp.int32(0))
    np.testing.assert_allclose(late["w"], 0.1, rtol=1e-6)
    np.testing.assert_allclose(early["w"], 0.9, rtol=1e-6)


def test_the_average_is_what_is_evaluated_where_there_is_one() -> None:
    params, average = {"w": jnp.zeros(2)}, {"w": jnp.ones(2)}
    assert evaluation_params(init_state(params, TrainConfig(ema_decay=0.5))._replace(ema=average)) is average
    assert evaluation_params(init_state(params, TrainConfig())) is params
