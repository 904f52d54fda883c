"""The training step of each field's model beside the same model in plain PyTorch, taking turns.

    python benchmarks/tasks.py [sentiment] [language_model] … [--rounds 5] [--steps 10]

Models, losses, batches, dropout and AdamW are those of the experiments, and both sides train on one batch of
the experiment again and again. Ours is the chunk of steps that `attnjax run` compiles, over all cores as
devices; PyTorch is eager, with as many threads. Each side has a process of its own. The number of parameters
has to be the same. `attnjax data fetch film support2 solubility` fetches what they read.

"speed" is our examples per second over those of PyTorch, the median over rounds (above 1: ours are more). The
goal is 1.3 in the geometric mean, and none below 0.8. A later run replaces the rows of its cases alone.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import RESULTS, alternate, machine, report, summary
from _sasrec_peer import answer
from sasrec import Case, Spec

CASES = ("sentiment", "language_model", "support2", "patients", "solubility", "detection", "driving")
"""The experiments."""
GOAL, LEAST = 1.3, 0.8


def ours(pipe: Any, threads: int, spec: Spec) -> None:
    """Serves chunks of steps of this package, and leaves the batch and the sizes that the data decides."""
    import jax
    from flax import nnx

    from attnjax.config import loss_fields
    from attnjax.experiment import registry
    from attnjax.experiment.serialize import encode
    from attnjax.runs.devices import choose_devices, make_mesh, start_jax
    from attnjax.train.beginning import with_shardings
    from attnjax.train.dispatch import jitted_chunk
    from attnjax.train.mesh import MeshShape
    from attnjax.train.sharding import ShardingPlan
    from attnjax.train.state import count_parameters, initial_state
    from attnjax.train.step import traced_values

    start_jax(threads)
    registry.discover()
    config = registry.default_config(registry.find(spec["case"]))
    task: Any = config.task()
    batch = task.batch(0)
    model = nnx.eval_shape(lambda: task.build(nnx.Rngs(0)))
    devices, _ = choose_devices(config.train.batch_size)
    plan = ShardingPlan(make_mesh(MeshShape(data=devices)), config.train)
    made = jax.jit(lambda key: initial_state(task, config.train, key, None))
    key = jax.random.key(0)
    like = with_shardings(jax.eval_shape(made, key), task, plan)
    held = {"state": jax.device_put(made(key), jax.tree.map(lambda x: x.sharding, like))}
    chunk = jitted_chunk(task, config.train, like, plan)
    given = plan.put_batches({name: np.stack([own] * spec["steps"]) for name, own in batch.items()})
    traced, seed = plan.put(traced_values(config.train, loss_fields(config))), plan.put(key)

    def call() -> None:
        with plan.tracing():
            held["state"], metrics = chunk(held["state"], given, traced, seed)
        jax.block_until_ready(metrics["loss"])

    leaves = jax.tree.leaves_with_path(like.params)
    # The norms of a backbone are frozen: PyTorch has buffers, or constants, in their place.
    frozen = sum(x.size for path, x in leaves if {"backbone", "norm"} <= {part.key for part in path})
    count = count_parameters(like.params) - frozen
    sizes = sizes_of(spec["case"], model) | {"parameters": count}
    shape = getattr(task, "config", config.model)  # With what the data decides filled in.
    about = {"model": encode(shape), "sizes": sizes, "train": encode(config.train)}
    np.savez(spec["batch"], **batch)
    Path(spec["about"]).write_text(json.dumps(about))
    answer(pipe, call)


def sizes_of(case: str, model: Any) -> dict[str, Any]:
    """Returns what the data decides of a model's shape."""
    if case in ("sentiment", "language_model"):
        return {"vocab": model.embedding.tokens.embedding.shape[0], "length": model.config.max_length}
    if case == "support2":
        return {"classes": list(model.embedding.classes)}
    if case == "patients":
        return {"classes": list(model.person.classes), "signs": model.embedding.kernel.shape[0]}
    return {}


def torch_peer(pipe: Any, threads: int, spec: Spec) -> None:
    """Serves as many steps of PyTorch on the same batch."""
    import _detr_peer
    import _graph_peer
    import _task_peers
    import torch

    torch.set_num_threads(threads)
    about = json.loads(Path(spec["about"]).read_text())
    given = {name: torch.from_numpy(own) for name, own in np.load(spec["batch"]).items()}
    others: dict[str, Any] = {"detection": _detr_peer, "solubility": _graph_peer}
    make = getattr(others.get(spec["case"], _task_peers), spec["case"])
    train = about["train"]
    model, loss = make(about["model"], about["sizes"], train["dropout"], given)
    count = sum(own.numel() for own in model.parameters())
    if count != about["sizes"]["parameters"]:
        raise ValueError(f"{spec['case']}: {count} parameters, ours has {about['sizes']['parameters']}")
    optimizer = torch.optim.AdamW(
        model.parameters(),
        train["learning_rate"],
        (train["beta1"], train["beta2"]),
        weight_decay=train["weight_decay"],
    )

    def call() -> None:
        for _ in range(spec["steps"]):
            optimizer.zero_grad()
            loss(model).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), train["clip_norm"])
            optimizer.step()

    answer(pipe, call)


def compared(case: str, rounds: int, steps: int) -> dict[str, dict[str, Any]]:
    """Returns the rows of both sides, with examples per second, and the speed of ours."""
    with tempfile.TemporaryDirectory() as folder:
        about = Path(folder) / "about.json"
        spec = {"case": case, "steps": steps, "batch": f"{folder}/batch.npz", "about": str(about)}
        # Ours first: it leaves what the peer reads.
        sides = {"attnjax": Case(ours, spec), "torch": Case(torch_peer, spec)}
        table = summary(alternate({name: side.seconds for name, side in sides.items()}, rounds, 2), "torch")
        for side in sides.values():
            side.close()
        train = json.loads(about.read_text())["train"]
    for row in table.values():
        row["examples_per_second"] = round(steps * train["batch_size"] / row["median_s"], 1)
    table["attnjax"]["speed"] = round(1 / table["attnjax"]["ratio"], 3)
    return {f"{case}: {name}": row for name, row in table.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of a chunk, which a round times once")
    options = parser.parse_args()
    about, kept = machine(("torch",)), RESULTS / "tasks.json"
    table = json.loads(kept.read_text())["cases"] if kept.exists() else {}
    for case in options.cases or CASES:
        table |= compared(case, options.rounds, options.steps)
        speeds = {name: row["speed"] for name, row in table.items() if "speed" in row}
        mean = statistics.geometric_mean(speeds.values())
        note = (
            f"ratio: our time to that of PyTorch; speed, in the geometric mean of {len(speeds)}: {mean:.2f}"
        )
        report("tasks", table, about, note, {"speed": round(mean, 3), "goal": GOAL, "least": LEAST})
    for name, speed in speeds.items():
        print(f"{name.partition(':')[0]}: {speed:.2f} times the examples per second of PyTorch")
    return int(mean < GOAL or min(speeds.values()) < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
