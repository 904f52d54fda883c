"""What ViT-S/16 costs, forward and in a training step, beside transformers' on PyTorch.

    python benchmarks/vision.py [--rounds 5] [--batch 4] [--image 224]

Cases, alternating; each figure is the time of one call, after compilation, in float32 on as many threads as
there are cores. PyTorch runs in a process of its own:

    ours forward, torch forward    logits of a batch of images
    ours step, torch step          loss, gradients and AdamW's update
    ours matmul, torch matmul      a product of the feed-forward layers, [batch · tokens, 384] by [384, 1536]

The ratio of the products says what of the rest is XLA's matrix product. A few minutes.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import alternate, machine, report, seconds, summary
from flax import nnx

from attnjax.models import VisionConfig, VisionTransformer
from attnjax.tasks.losses import of_labels

DIM, HEADS, LAYERS, HIDDEN, PATCH, LABELS = 384, 6, 12, 1536, 16, 1000
RATE = 1e-4
KINDS = ("forward", "step", "matmul")


def ours(batch: int, image: int) -> dict[str, Callable[[], float]]:
    """Seconds of a call of each kind."""
    config = VisionConfig(
        dim=DIM,
        heads=HEADS,
        layers=LAYERS,
        hidden=HIDDEN,
        image=image,
        patch=PATCH,
        labels=LABELS,
        activation="gelu_exact",
    )
    graphdef, params = nnx.split(VisionTransformer(config, rngs=nnx.Rngs(0)), nnx.Param)
    images, labels, left, right = map(jnp.asarray, inputs(batch, image))
    optimizer = optax.adamw(RATE)
    state = {"params": params, "optimizer": optimizer.init(params)}

    def logits(params: Any, images: Any) -> Any:
        return nnx.merge(graphdef, params)(images).logits

    def stepped(state: Any) -> Any:
        def loss(params: Any) -> Any:
            return of_labels(logits(params, images), labels)[0]

        updates, moments = optimizer.update(
            jax.grad(loss)(state["params"]), state["optimizer"], state["params"]
        )
        return {"params": optax.apply_updates(state["params"], updates), "optimizer": moments}

    forward, step, product = jax.jit(logits), jax.jit(stepped, donate_argnums=0), jax.jit(jnp.matmul)

    def train() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state))

    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: jax.block_until_ready(forward(state["params"], images)),
        "step": train,
        "matmul": lambda: jax.block_until_ready(product(left, right)),
    }
    for call in calls.values():
        call()
    return {kind: partial(seconds, call) for kind, call in calls.items()}


def inputs(batch: int, image: int) -> tuple[np.ndarray, ...]:
    """Images, labels and both sides of a product."""
    rng = np.random.default_rng(0)
    tokens = batch * ((image // PATCH) ** 2 + 1)
    images = rng.standard_normal((batch, image, image, 3), np.float32)
    sides = rng.standard_normal((tokens, DIM), np.float32), rng.standard_normal((DIM, HIDDEN), np.float32)
    return images, rng.integers(0, LABELS, batch), *sides


def serve(pipe: Any, threads: int, batch: int, image: int) -> None:
    """Answers each kind with the seconds of a call of PyTorch."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.set_num_threads(threads)
    make: Any = ViTConfig
    config = make(
        hidden_size=DIM,
        num_attention_heads=HEADS,
        num_hidden_layers=LAYERS,
        intermediate_size=HIDDEN,
        image_size=image,
        patch_size=PATCH,
        num_labels=LABELS,
        attn_implementation="sdpa",
    )
    model = ViTForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-4)
    images, labels, left, right = map(torch.from_numpy, inputs(batch, image))
    images = images.permute(0, 3, 1, 2).contiguous()

    def forward() -> None:
        with torch.inference_mode():
            model.eval()(images)

    def step() -> None:
        optimizer.zero_grad()
        model.train()(images, labels=labels).loss.backward()
        optimizer.step()

    calls = {"forward": forward, "step": step, "matmul": lambda: torch.matmul(left, right)}
    for call in calls.values():
        call()
    while (kind := pipe.recv()) is not None:
        start = time.perf_counter()
        calls[kind]()
        pipe.send(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--image", type=int, default=224)
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    about = machine(("torch", "transformers"))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    given = (there, threads, options.batch, options.image)
    context.Process(target=serve, args=given, daemon=True).start()

    def theirs(kind: str) -> float:
        here.send(kind)
        found: float = here.recv()
        return found

    own = ours(options.batch, options.image)
    cases: dict[str, dict[str, Any]] = {}
    ratios = {}
    for kind in KINDS:
        pair: dict[str, Callable[[], float]] = {
            f"ours {kind}": own[kind],
            f"torch {kind}": partial(theirs, kind),
        }
        table = summary(alternate(pair, options.rounds, calls=2), f"torch {kind}")
        cases |= table
        ratios[kind] = table[f"ours {kind}"]["ratio"]
    here.send(None)
    note = (
        f"seconds of a call, {options.batch} images of {options.image} pixels; ratio: to torch of its round"
    )
    report("vision", cases, about, note, {"ours_to_torch": ratios})
    print("ours / torch: " + ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in ratios.items()))


if __name__ == "__main__":
    main()
