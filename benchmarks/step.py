"""What our training loop costs: the same translator and optimiser, trained by us and by hand.

    python benchmarks/step.py [--rounds 5] [--steps 40]

Cases, alternating in one process; each figure is the time of one training step, after compilation:

    ours      `attnjax.train.loop.fit` as `attnjax run` calls it: scanned chunks, traced hyperparameters,
              metrics file, progress.
    jax.jit   a loop written by hand around `jax.jit(step, donate_argnums=0)` of the same loss, with an
              `optax.adamw` whose hyperparameters are constants, on the same devices. The ratios' baseline.
    lax.scan  the same by hand with a `lax.scan` over as many steps as our chunks have.
    flax.nnx  the same architecture from `nnx.MultiHeadAttention` and `nnx.Linear`, trained with
              `nnx.jit` and `nnx.Optimizer`, on one device.
    pytorch   the same architecture as `torch.nn.Transformer`, where torch is installed.

All train on the embedded dates at the sizes of `experiments/translation.py`, with sinusoidal positions
(which every peer can express). Their dropout is the peer's own, at the same rate. About 5 minutes.
"""

import argparse
import dataclasses
import importlib.util
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import alternate, machine, report, summary, versus
from _peer_models import FlaxTranslator, torch_translator
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from attnjax.data.text.tokenizer import PAD
from attnjax.experiment import registry
from attnjax.nn.dropout import Dropout
from attnjax.runs.devices import choose_devices, cores, make_mesh, start_jax
from attnjax.tasks.translation.task import TranslationTask
from attnjax.train.loop import fit
from attnjax.train.mesh import MeshShape
from attnjax.train.observers.base import Observer
from attnjax.train.observers.progress import ProgressBar
from attnjax.train.optimizer import decays

Measure = Callable[[], float]


class Setting:
    """What all cases share: the experiment's config, its data, the devices."""

    first = 0
    """The step whose batch a timed loop by hand begins with."""

    def __init__(self, steps: int) -> None:
        start_jax()
        registry.discover()
        config = registry.default_config(registry.find("translation"))
        self.steps = steps
        self.model = dataclasses.replace(config.model, positions="sinusoidal")
        chunks = {"steps": 3 * steps, "log_every": steps, "checkpoint_every": 3 * steps}
        self.loss = config.loss
        self.train = dataclasses.replace(config.train, warmup_steps=1, ema_decay=0.0, **chunks)
        data = dataclasses.replace(config.data, examples=20_000)
        self.task = TranslationTask(data, self.model, loss=self.loss, batch_size=self.train.batch_size)
        self.devices, _ = choose_devices(self.train.batch_size)
        self.mesh = make_mesh(MeshShape(data=self.devices))

    @property
    def vocabularies(self) -> tuple[int, int]:
        return self.task.encoder.source.size, self.task.encoder.target.size

    def adamw(self, mask: Any = None) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.train.clip_norm),
            optax.adamw(
                self.train.learning_rate,
                self.train.beta1,
                self.train.beta2,
                weight_decay=self.train.weight_decay,
                mask=mask,
            ),
        )


class _Clock(Observer):
    """Notes when each row of metrics came."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def row(self, row: dict[str, Any]) -> None:
        if row["split"] == "train":
            self.times.append(time.perf_counter())


def ours(setting: Setting) -> Measure:
    def measure() -> float:
        clock = _Clock()
        with tempfile.TemporaryDirectory() as folder:
            observers = (clock, ProgressBar())
            fit(
                setting.task,
                setting.train,
                seed=0,
                folder=Path(folder),
                mesh=setting.mesh,
                observers=observers,
            )
        # The last chunk runs alone; the one before it, as most do, beside the host's work for its neighbour.
        return (clock.times[-1] - clock.times[0]) / (len(clock.times) - 1) / setting.steps

    return measure


def by_hand(setting: Setting, *, scanned: bool = False) -> Measure:
    task, train, optimizer = setting.task, setting.train, setting.adamw(decays)
    whole, split = None, None
    if setting.mesh is not None:
        whole = NamedSharding(setting.mesh, PartitionSpec())
        split = NamedSharding(setting.mesh, PartitionSpec(*[None] * scanned, "data"))

    def loss(params: Any, batch: Any, key: Any) -> Any:
        dropout = Dropout(train.dropout, key)
        return task.loss(params, batch, dropout=dropout)[0]

    def step(state: Any, batch: Any, key: Any) -> Any:
        params, moments, number = state
        value, grads = jax.value_and_grad(loss)(params, batch, jax.random.fold_in(key, number))
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments, number + 1), value

    def chunk(state: Any, batches: Any, key: Any) -> Any:
        return jax.lax.scan(lambda state, batch: step(state, batch, key), state, batches)

    compiled = jax.jit(chunk if scanned else step, donate_argnums=0)
    size = setting.steps if scanned else 1
    key = jax.device_put(jax.random.key(0), whole)
    params = task.init(key)
    state = jax.device_put((params, optimizer.init(params), jnp.int32(0)), whole)

    def run(steps: int) -> None:
        nonlocal state
        for first in range(0, steps, size):
            batches = [task.batch(number) for number in range(first, first + size)]
            batch = jax.tree.map(lambda *rows: np.stack(rows), *batches) if scanned else batches[0]
            state, value = compiled(state, jax.device_put(batch, split), key)
        jax.block_until_ready(value)

    return _timed(run, setting.steps)


def plain_nnx(setting: Setting) -> Measure:
    train = setting.train
    model = FlaxTranslator(setting.model, setting.vocabularies, train.dropout, nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, setting.adamw(), wrt=nnx.Param)

    def loss(model: FlaxTranslator, batch: Any) -> Any:
        labels = batch["target"][:, 1:]
        logits = model(batch["source"], batch["source_lengths"], batch["target"][:, :-1])
        wanted = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), setting.loss.label_smoothing)
        return optax.softmax_cross_entropy(logits, wanted).mean(where=labels != PAD)

    @nnx.jit
    def step(model: FlaxTranslator, optimizer: nnx.Optimizer, batch: Any) -> Any:
        value, grads = nnx.value_and_grad(loss)(model, batch)
        optimizer.update(model, grads)
        return value

    def run(steps: int) -> None:
        for number in range(steps):
            value = step(model, optimizer, setting.task.batch(number))
        jax.block_until_ready(value)

    return _timed(run, setting.steps)


def pytorch(setting: Setting) -> Measure:
    import torch

    train = setting.train
    torch.set_num_threads(cores())
    model = torch_translator(setting.model, setting.vocabularies, train.dropout)
    optimizer = torch.optim.AdamW(
        model.parameters(), train.learning_rate, (train.beta1, train.beta2), weight_decay=train.weight_decay
    )
    criterion = torch.nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=setting.loss.label_smoothing)

    def run(steps: int) -> None:
        for number in range(setting.first, setting.first + steps):
            batch = {
                name: torch.from_numpy(array).long() for name, array in setting.task.batch(number).items()
            }
            logits = model(batch["source"], batch["source_lengths"], batch["target"][:, :-1])
            value = criterion(logits.flatten(0, 1), batch["target"][:, 1:].flatten())
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm)
            optimizer.step()

    return _timed(run, setting.steps)


def _timed(run: Callable[[int], None], steps: int) -> Measure:
    """Seconds per step of run(steps), compiled and warm."""
    run(steps)

    def measure() -> float:
        start = time.perf_counter()
        run(2 * steps)
        return (time.perf_counter() - start) / (2 * steps)

    return measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="steps of a chunk; a round times two chunks")
    options = parser.parse_args()
    about = machine(("torch",) if importlib.util.find_spec("torch") else ())
    setting = Setting(options.steps)
    makers: dict[str, Callable[[Setting], Measure]] = {
        "ours": ours,
        "jax.jit": by_hand,
        "lax.scan": partial(by_hand, scanned=True),
        "flax.nnx": plain_nnx,
    }
    if importlib.util.find_spec("torch"):
        makers["pytorch"] = pytorch
    else:
        print("torch is not installed: its case is left out")
    times = alternate({name: make(setting) for name, make in makers.items()}, options.rounds)
    # The peers' loops are given no sharding, so theirs is one device.
    devices = {name: 1 if name in ("flax.nnx", "pytorch") else setting.devices for name in times}
    shown = ", ".join(f"{name} {number}" for name, number in devices.items())
    batch = f"{setting.train.batch_size} examples"
    note = f"seconds per step of {batch}; ratio: to jax.jit of its round; devices: {shown}"
    ratios = versus(times, "ours")
    report("step", summary(times, "jax.jit"), about, note, {"devices": devices, "ours_to": ratios})
    for peer, row in ratios.items():
        print(f"ours / {peer}: {row['ratio']:.2f} (rounds: {row['ratio_min']:.2f} to {row['ratio_max']:.2f})")


if __name__ == "__main__":
    main()
