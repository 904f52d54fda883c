"""The training step and the chunk of steps that one dispatch runs: pure functions of plain pytrees."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from attnjax.nn.dropout import Dropout
from attnjax.train.adapters import merged
from attnjax.train.config import TrainConfig
from attnjax.train.optimizer import (
    Hyperparameters,
    hyperparameters,
    trained_only,
    update_params,
    widened,
)
from attnjax.train.rngs import Stream, stream_key
from attnjax.train.rows import Touched, put_back, sizes_of, taken
from attnjax.train.schedules import schedule
from attnjax.train.state import TrainState, update_ema

Batch = dict[str, Array]
Metrics = dict[str, Float[Array, "*steps"]]
Loss = Callable[..., tuple[Float[Array, ""], Metrics]]


class TracedValues(NamedTuple):
    """The numbers that a compiled step takes as arrays: those of training, and those of the task's loss."""

    train: Hyperparameters
    loss: Hyperparameters


Step = Callable[[TrainState, Batch, TracedValues, Key[Array, ""]], tuple[TrainState, Metrics]]


def traced_values(config: TrainConfig, loss: Mapping[str, float]) -> TracedValues:
    """Returns the traced fields of a training configuration and the values for the loss, as arrays."""
    return TracedValues(
        hyperparameters(config), {name: jnp.asarray(value, jnp.float32) for name, value in loss.items()}
    )


def make_train_step(loss: Loss, config: TrainConfig, touched: Touched | None = None) -> Step:
    """Returns the function (state, batch, traced values, seed_key) → (state, metrics) of one update.

    Of `config` only the static fields are read. `metrics` are the task's, averaged over the batch by weight,
    with grad_norm (before clipping) and learning_rate. With `touched`, rows of tables that a batch does not
    read stay as they are: neither weight decay nor what the optimiser remembers moves them.
    """

    def update(
        state: TrainState, batch: Batch, traced: TracedValues, seed_key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        hyper = traced.train
        key = stream_key(seed_key, Stream.DROPOUT, state.step)
        grads, metrics = _gradients(loss, state.params, batch, traced, key, config.accumulate)
        grads = trained_only(grads, config)
        learning_rate = hyper["learning_rate"] * schedule(state.step, config)
        params, opt_state = update_params(state.params, grads, state.opt_state, hyper, learning_rate, config)
        ema = None if state.ema is None else update_ema(state.ema, params, hyper["ema_decay"], state.step)
        metrics = {**metrics, "grad_norm": optax.tree.norm(grads), "learning_rate": learning_rate}
        return TrainState(state.step + 1, params, opt_state, ema), metrics

    if touched is None:
        return update

    def update_rows(
        state: TrainState, batch: Batch, traced: TracedValues, seed_key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        batch, rows = touched(batch)
        sizes = sizes_of(state.params, rows)
        few, metrics = update(taken(state, rows, sizes), batch, traced, seed_key)
        return put_back(state, few, rows, sizes), metrics

    return update_rows


def make_train_chunk(loss: Loss, config: TrainConfig, touched: Touched | None = None) -> Step:
    """Returns the function of `make_train_step` over batches stacked on a leading axis of K steps.

    It is one `lax.scan`. Metrics come back per step, [K].
    """
    train_step = make_train_step(loss, config, touched)

    def train_chunk(
        state: TrainState, batches: Batch, traced: TracedValues, seed_key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        return _scanned(lambda state, batch: train_step(state, batch, traced, seed_key), state, batches)

    return train_chunk


def _scanned(body: Callable[[Any, Any], tuple[Any, Any]], start: Any, batches: Any) -> tuple[Any, Any]:
    """`jax.lax.scan` over batches, of which each is carried into its turn.

    XLA on CPU repeats a slice of `batches` within all loops that read it, and a mask from the lengths or
    segments of a batch is then 2 to 3 times as slow.
    """
    last = jax.tree.leaves(batches)[0].shape[0] - 1

    def at(turn: Array | int) -> Any:
        return jax.tree.map(lambda own: own[turn], batches)

    def turned(carried: tuple[Any, Any], turn: Array) -> tuple[tuple[Any, Any], Any]:
        state, out = body(*carried)
        return (state, at(jnp.minimum(turn + 1, last))), out

    (state, _), outs = jax.lax.scan(turned, (start, at(0)), jnp.arange(last + 1))
    return state, outs


def _gradients(
    loss: Loss, params: Any, batch: Batch, traced: TracedValues, key: Key[Array, ""], accumulate: int
) -> tuple[Any, Metrics]:
    """Returns gradient and metrics of the whole batch, computed in `accumulate` micro-batches.

    With weight nᵢ of micro-batch i, the batch's loss is Σ nᵢ·lossᵢ / Σ nᵢ: averaging the micro-batches'
    gradients instead would weigh the terms of a light micro-batch more. Sums are in at least float32,
    whatever the parameters and the task's loss are in, and come back so.
    """

    def weighted_loss(params: Any, micro_batch: Batch, index: Array) -> tuple[Array, Metrics]:
        dropout = Dropout(traced.train["dropout"], jax.random.fold_in(key, index))
        value, metrics = widened(loss(merged(params), micro_batch, dropout=dropout, hyper=traced.loss))
        weight = metrics["weight"]
        sums = {name: metric * weight for name, metric in metrics.items() if name != "weight"}
        return value * weight, {**sums, "weight": weight}

    def of_micro_batch(micro_batch: Batch, index: Array) -> tuple[Any, Metrics]:
        return widened(jax.grad(weighted_loss, has_aux=True)(params, micro_batch, index))

    def add_micro_batch(sums: Any, inputs: tuple[Batch, Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, of_micro_batch(*inputs)), None

    inputs = (_micro_batches(batch, accumulate), jnp.arange(accumulate))
    first, rest = jax.tree.map(lambda x: x[0], inputs), jax.tree.map(lambda x: x[1:], inputs)
    sums = of_micro_batch(*first)
    if accumulate > 1:
        sums, _ = _scanned(add_micro_batch, sums, rest)
    grads, metrics = sums
    weight = metrics.pop("weight")
    grads, metrics = jax.tree.map(lambda total: total / weight, (grads, metrics))
    return grads, {**metrics, "weight": weight}


def _micro_batches(batch: Batch, accumulate: int) -> Batch:
    """[B, …] → [accumulate, B / accumulate, …], example b in micro-batch b mod accumulate.

    Strided, so that each device of a mesh keeps its own examples: each micro-batch is spread over them all.
    """
    return jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(-1, accumulate, *x.shape[1:]), 1, 0),
        batch,
    )
