"""What attributions of a BERT classifier cost beside captum's, on the same weights with the same steps.

    python benchmarks/explain.py [--rounds 3] [--layers 4] [--dim 256] [--sentences 64] [--tokens 32]

Cases, alternating; each figure is the time of one call, after compilation, in float32 on as many threads as
there are cores. PyTorch runs in a process of its own, with transformers' model:

    integrated gradients   of all sentences with 32 steps, beside captum's LayerIntegratedGradients; both
                           take the sentences of a step at once
    kernel SHAP            of 8 sentences with 64 coalitions each, beside captum's KernelShap, which reads 32
                           of a sentence at once; ours reads 32 rows at once
    head ablation          the fall of the logit without each head of each layer, beside a loop over
                           PyTorch's forward hooks

Beside the time on the clock stands that of the processors, which counts where others use the machine too.
How far the answers of both are apart is kept too; coalitions are drawn, so that those of SHAP differ.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import Times, alternate, machine, report, seconds, summary

from attnjax.explain import Target, ablate_heads, ask, attribute
from attnjax.pretrained import from_pretrained
from attnjax.pretrained.verify import boost

KINDS = ("integrated gradients", "kernel SHAP", "head ablation")
VOCAB, MASK, CLASS, LABELS = 1000, 4, 1, 3
HEAD_WIDTH = 64
GOALS = {"integrated gradients": 0.7, "kernel SHAP": 0.5, "head ablation": 0.3}


def tokens_of(options: argparse.Namespace) -> np.ndarray:
    """The sentences [B, T]."""
    return np.random.default_rng(0).integers(5, VOCAB, (options.sentences, options.tokens))


def ours(folder: str, options: argparse.Namespace) -> dict[str, Callable[[], np.ndarray]]:
    """The answer to a call of each kind."""
    model = from_pretrained(folder)
    tokens = jnp.asarray(tokens_of(options))
    question = ask(model, tokens, target=Target(CLASS))
    few = ask(model, tokens[: options.shap_sentences], target=Target(CLASS))
    at_once = max(1, options.at_once // options.shap_sentences)
    drawn = {"samples": options.samples - 2, "baseline": MASK, "at_once": at_once}
    calls: dict[str, Callable[[], Any]] = {
        "integrated gradients": lambda: (
            attribute("integrated_gradients", question, steps=options.steps, baseline=MASK).scores
        ),
        "kernel SHAP": lambda: attribute("kernel_shap", few, **drawn).scores,
        "head ablation": lambda: ablate_heads(question),
    }
    return {kind: partial(answer, call) for kind, call in calls.items()}


def answer(call: Callable[[], Any]) -> np.ndarray:
    """What a call gives, once it is there."""
    return np.asarray(jax.block_until_ready(call()))


def serve(pipe: Any, folder: str, threads: int, options: argparse.Namespace) -> None:
    """Writes the model, then answers each kind with the seconds of a call of PyTorch and what it gave."""
    import torch
    from captum.attr import KernelShap, LayerIntegratedGradients
    from transformers import BertConfig, BertForSequenceClassification

    torch.set_num_threads(threads)
    make: Any = BertConfig
    config = make(
        vocab_size=VOCAB,
        hidden_size=options.dim,
        num_attention_heads=options.dim // HEAD_WIDTH,
        num_hidden_layers=options.layers,
        intermediate_size=4 * options.dim,
        max_position_embeddings=options.tokens,
        num_labels=LABELS,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    model = boost(BertForSequenceClassification(config), torch).eval()
    model.save_pretrained(folder)
    model.requires_grad_(False)
    table = model.bert.embeddings.word_embeddings
    tokens = torch.from_numpy(tokens_of(options))
    none = torch.full_like(tokens, MASK)

    def integrated() -> Any:
        # The table's parameters stay without gradients: captum asks for those of its output.
        explainer = LayerIntegratedGradients(lambda tokens: model(tokens).logits, table)
        given = {"n_steps": options.steps, "internal_batch_size": options.sentences}
        return explainer.attribute(tokens, none, target=CLASS, **given).sum(-1)

    def shapley() -> Any:
        explainer = KernelShap(lambda vectors: model(inputs_embeds=vectors).logits)
        vectors, start = (table(x[: options.shap_sentences]) for x in (tokens, none))
        features = torch.arange(options.tokens)[None, :, None].repeat(1, 1, options.dim)
        with torch.inference_mode():
            return torch.stack(
                [
                    explainer.attribute(
                        row[None],
                        first[None],
                        target=CLASS,
                        feature_mask=features,
                        n_samples=options.samples,
                        perturbations_per_eval=options.at_once,
                    )[0, :, 0]
                    for row, first in zip(vectors, start, strict=True)
                ]
            )

    @torch.inference_mode()
    def ablated() -> Any:
        plain, falls = model(tokens).logits[:, CLASS], []
        for layer in model.bert.encoder.layer:
            for head in range(config.num_attention_heads):
                entries = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)

                def without(_: Any, args: Any, out: Any, entries: slice = entries) -> Any:
                    out[0][..., entries] = 0
                    return out

                handle = layer.attention.self.register_forward_hook(without)
                falls.append(plain - model(tokens).logits[:, CLASS])
                handle.remove()
        return torch.stack(falls).reshape(options.layers, config.num_attention_heads, -1)

    calls = dict(zip(KINDS, (integrated, shapley, ablated), strict=True))
    pipe.send("ready")
    while (kind := pipe.recv()) is not None:
        start, used = time.perf_counter(), time.process_time()
        found = calls[kind]()
        pipe.send((time.perf_counter() - start, time.process_time() - used, found.detach().numpy()))


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in parts of the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    sizes = {"rounds": 3, "layers": 4, "dim": 256, "sentences": 64, "tokens": 32, "steps": 32}
    sizes |= {"shap_sentences": 8, "samples": 64, "at_once": 32}
    for name, default in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N")
    parser.add_argument("--name", default="explain", help="of the file of results (default: explain)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds (default: all)")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    about = machine(("torch", "transformers", "captum"))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        context.Process(target=serve, args=(there, folder, threads, options), daemon=True).start()
        here.recv()
        own = ours(folder, options)

    def theirs(kind: str) -> tuple[float, float, np.ndarray]:
        here.send(kind)
        found: tuple[float, float, np.ndarray] = here.recv()
        return found

    cases: dict[str, dict[str, Any]] = {}
    ratios: dict[str, dict[str, float]] = {}
    differences: dict[str, float] = {}
    for kind in options.only:
        differences[kind] = apart(own[kind](), theirs(kind)[2])
        print(f"{kind}: answers {differences[kind]:.1e} apart", file=sys.stderr, flush=True)
        names = f"ours {kind}", f"{'hooks' if kind == 'head ablation' else 'captum'} {kind}"
        processors: Times = {name: [] for name in names}

        def mine(kind: str = kind, processors: Times = processors, name: str = names[0]) -> float:
            used = time.process_time()
            wall = seconds(own[kind])
            processors[name].append(time.process_time() - used)
            return wall

        def peer(kind: str = kind, processors: Times = processors, name: str = names[1]) -> float:
            wall, used, _ = theirs(kind)
            processors[name].append(used)
            return wall

        table = summary(alternate(dict(zip(names, (mine, peer), strict=True)), options.rounds), names[1])
        used = summary(processors, names[1])
        cases |= {name: row | {"processor_seconds": used[name]} for name, row in table.items()}
        ratios[kind] = {"wall": table[names[0]]["ratio"], "processors": used[names[0]]["ratio"]}
    here.send(None)
    shape = (
        f"{options.layers} layers of {options.dim}, {options.sentences} sentences of {options.tokens} tokens"
    )
    note = f"seconds of a call, {shape}; ratio: to the peer of its round"
    report(options.name, cases, about, note, {"ours_to_peer": ratios, "apart": differences})
    for kind, ratio in ratios.items():
        times = f"{ratio['wall']:.2f} of its time, {ratio['processors']:.2f} of the processors'"
        print(f"{kind}: {times} (goal: {GOALS[kind]})")


if __name__ == "__main__":
    main()
