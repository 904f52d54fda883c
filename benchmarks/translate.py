"""Translation side by side with others: training against PyTorch, decoding against CTranslate2.

    python benchmarks/translate.py training [--rounds 5] [--steps 20]
    python benchmarks/translate.py decoding --run RUN [--ctranslate2 PYTHON] [--rounds 3] [--sentences 500]

`training` times steps of `attnjax run help_texts` and of a loop around `torch.nn.Transformer` with as many
weights, on the same batches of pairs of at most 40 tokens a side, with sinusoidal positions and an output
matrix of its own, which PyTorch can express. Figures are tokens per second, those of both sides without
padding.

`decoding` translates held-out sentences with a trained run, whose positions are sinusoidal and whose
embeddings are tied (`attnjax run help_texts --transformer.positions sinusoidal`), by five beams and greedily.
PYTHON is an interpreter with ctranslate2; it gets the same weights, in float32 on as many threads. Cases:

    ours           `task.translate`: from texts to texts, with log probabilities and attention
    our search     the compiled search alone, on tiles of as many sentences as there
    ctranslate2    `translate_batch` of tokens in batches of 32. The ratios' baseline.

No length penalty divides the scores, so that all stop for the same reason. Beside the times are the share
of sentences for which both give the same tokens, the number of compiled programs, and seconds per sentence
by the number of sentences that come together, which is drawn into docs/translation_speed.png too.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _measure import ROOT, alternate, machine, plain_environment, report, seconds, summary, versus
from step import Setting, ours, pytorch

from attnjax.data.text.tokenizer import PAD
from attnjax.experiment import registry
from attnjax.runs.devices import cores, start_jax
from attnjax.tasks.translation.config import SearchConfig
from attnjax.tasks.translation.task import TranslationTask

LONGEST = 40
"""Tokens of a side of the pairs of training."""
TOGETHER = (1, 4, 16, 32, 64)
"""Sentences that come together, of the figure."""
BATCH = 32


class Help(Setting):
    """The setting of `help_texts`, in batches of one shape."""

    def __init__(self, steps: int) -> None:
        start_jax()
        registry.discover()
        config = registry.default_config(registry.find("help_texts"))
        plain = {"positions": "sinusoidal", "share_embeddings": False, "tie_embeddings": False}
        self.steps, self.first = steps, steps
        self.model = dataclasses.replace(config.transformer, **plain)
        self.loss = config.loss
        chunks = {"steps": 3 * steps, "log_every": steps, "checkpoint_every": 3 * steps}
        self.train = dataclasses.replace(config.train, warmup_steps=1, ema_decay=0.0, **chunks)
        sizes = {"max_source_length": LONGEST, "max_target_length": LONGEST, "skip_malformed": True}
        data = dataclasses.replace(config.data, buckets=1, **sizes)
        self.task = TranslationTask(data, self.model, loss=self.loss, batch_size=self.train.batch_size)
        # One device: the peer's loop is given no sharding.
        self.devices, self.mesh = 1, None

    @property
    def tokens(self) -> float:
        """Of a step that is timed, on the mean."""
        batches = [self.task.batch(self.first + number) for number in range(2 * self.steps)]
        found = [(b["source"] != PAD).sum() + (b["target"] != PAD).sum() for b in batches]
        return float(np.mean(found))


def training(options: argparse.Namespace) -> None:
    """Measures and reports steps of training."""
    about = machine(("torch",)) | {"threads": cores()}
    setting = Help(options.steps)
    times = alternate({"ours": ours(setting), "pytorch": pytorch(setting)}, options.rounds)
    rows, tokens = summary(times, "pytorch"), setting.tokens
    for row in rows.values():
        row["tokens_per_s"] = round(tokens / row["median_s"], 1)
    note = f"seconds of a step of {tokens:.0f} tokens; ratio: to pytorch of its round"
    report("translation-training", rows, about, note, {"ours_to": versus(times, "ours")})
    print({name: row["tokens_per_s"] for name, row in rows.items()})


class Ctranslate2Peer:
    """CTranslate2 in another interpreter.

    Args:
      python: the interpreter.
      folder: of the weights.
      threads: of a translation.
    """

    def __init__(self, python: str, folder: Path, threads: int) -> None:
        script = str(Path(__file__).with_name("_ctranslate2_peer.py"))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [python, script, str(folder), str(threads)]
        self._process: Any = subprocess.Popen(command, env=plain_environment(), **pipes)
        self.version = self._answer()["version"]

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Returns the seconds and the tokens of all sentences."""
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("ctranslate2 ended: its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def write_model(task: TranslationTask, params: Any, ids: list[list[int]], folder: Path) -> None:
    """Writes what the peer reads."""
    from flax import nnx

    from attnjax.ops.positions.sinusoidal import sinusoidal

    config: Any = task.config
    if config.positions != "sinusoidal" or not (config.share_embeddings and config.tie_embeddings):
        raise SystemExit("the run has other positions than sinusoidal, or embeddings that are not tied")
    model = task.model(params)
    weights: dict[str, Any] = {
        ".".join(map(str, path)): np.asarray(value[...])
        for path, value in nnx.to_flat_state(nnx.state(model, nnx.Param))
    }
    weights["positions"] = np.asarray(sinusoidal(np.arange(512), config.dim))
    np.savez(folder / "weights.npz", **weights)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    (folder / "sentences.json").write_text(json.dumps(ids))


def decoding(options: argparse.Namespace) -> None:
    """Measures and reports searches."""
    from attnjax.models.decoding import loop
    from attnjax.runs.predict import trained_task
    from attnjax.runs.store import Run

    proceed: Any = loop.proceed
    registry.discover()
    about = machine() | {"threads": cores()}
    found, params = trained_task(Run(options.run))
    task: Any = found
    # The program of each search counts, and no text is known to it before.
    sources = list(dict.fromkeys(task.references()["files"][0]))[: options.sentences]
    ids = task.encoder.source.encode(sources)
    most = task.encoder.target_width - 1
    rows: dict[str, Any] = {}
    more: dict[str, Any] = {"sentences": len(sources), "programs": {}, "same_tokens": {}, "by_number": {}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_model(task, params, ids, folder)
        peer = Ctranslate2Peer(options.ctranslate2, folder, cores()) if options.ctranslate2 else None
        if peer is not None:
            about["versions"] |= {"ctranslate2": peer.version}
        for name, beams in (("greedy", 1), ("beam 5", 5)):
            search = SearchConfig(beams=beams, length_penalty="none")
            cases, tokens = decoders(task, params, sources, search, peer, most)
            times = alternate(cases, options.rounds)
            baseline = f"{name} ctranslate2" if peer else f"{name} ours"
            rows |= summary({f"{name} {case}": own for case, own in times.items()}, baseline)
            more["programs"][name] = proceed._cache_size()
            proceed.clear_cache()
            if peer is not None:
                theirs = peer.ask(beams=beams, batch=BATCH, max_length=most - 1)["tokens"]
                same = np.mean([one == other for one, other in zip(tokens, theirs, strict=True)])
                more["same_tokens"][name] = round(float(same), 4)
        more["by_number"] = by_number(task, params, sources, peer, most, options.rounds)
        if peer is not None:
            peer.close()
    report("translation-decoding", rows, about, f"seconds of {len(sources)} sentences", more)
    draw(more["by_number"], ROOT / "docs" / "translation_speed.png")


def decoders(
    task: Any, params: Any, sources: list[str], search: SearchConfig, peer: Any, most: int
) -> tuple[dict[str, Callable[[], float]], list[list[int]]]:
    """Returns the cases of a search, compiled already, and the tokens that ours gives."""
    from attnjax.data.text.tokenizer import BOS, EOS
    from attnjax.models import generate
    from attnjax.tasks.translation.search import rules_of, strategy_of, tile_rows

    strategy, rules = strategy_of(search), rules_of(search, task.encoder.target)
    model = task.model(params)
    arrays = task.encoder.sources(sources)
    tile = tile_rows(), arrays["source"].shape[1]
    options: dict[str, Any] = {"bos": BOS, "eos": EOS, "pad": PAD, "max_length": most, "tile": tile}

    def alone() -> Any:
        given = arrays["source"], arrays["source_lengths"]
        decoded = generate(model, *given, strategy=strategy, rules=rules, **options)
        return decoded.tokens.block_until_ready(), decoded.lengths

    def whole() -> object:
        return task.translate(params, sources, search=search)

    whole()
    tokens, lengths = (np.asarray(x) for x in alone())
    cases = {"ours": lambda: seconds(whole), "our search": lambda: seconds(alone)}
    if peer is not None:
        cases["ctranslate2"] = lambda: peer.ask(beams=search.beams, batch=BATCH, max_length=most - 1)[
            "seconds"
        ]
    return cases, [row[:count].tolist() for row, count in zip(tokens, lengths.tolist(), strict=True)]


def by_number(
    task: Any, params: Any, sources: list[str], peer: Any, most: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Returns seconds per sentence, with five beams, by the number of sentences that come together."""
    search, few = SearchConfig(beams=5, length_penalty="none"), sources[: max(TOGETHER)]

    def mine(number: int) -> float:
        # One by one sixteen are enough to tell.
        own = few[: max(16, number)]
        parts = [own[first : first + number] for first in range(0, len(own), number)]
        return seconds(lambda: [task.translate(params, part, search=search) for part in parts]) / len(own)

    def theirs(number: int) -> float:
        count = min(len(few), max(16, number))
        return peer.ask(beams=5, batch=number, max_length=most - 1, count=count)["seconds"] / count

    cases: dict[str, Callable[[], float]] = {}
    for number in TOGETHER:
        cases[f"ours {number}"] = partial(mine, number)
        if peer is not None:
            cases[f"ctranslate2 {number}"] = partial(theirs, number)
    mine(1)
    found = summary(alternate(cases, rounds))
    return {name: {key: row[key] for key in ("median_s", "min_s", "max_s")} for name, row in found.items()}


def draw(found: dict[str, dict[str, float]], file: Path) -> None:
    """Writes the picture of seconds per sentence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained", facecolor="white", dpi=150)
    panel = figure.subplots()
    for name, color in (("ours", "tab:blue"), ("ctranslate2", "tab:orange")):
        own = {int(key.split()[1]): row for key, row in found.items() if key.split()[0] == name}
        if own:
            middle = [row["median_s"] for row in own.values()]
            ends = [
                [row["median_s"] - row["min_s"] for row in own.values()],
                [row["max_s"] - row["median_s"] for row in own.values()],
            ]
            panel.errorbar(list(own), middle, ends, marker="o", capsize=3, color=color, label=name)
    panel.set(
        xscale="log", yscale="log", xlabel="sentences that come together", ylabel="seconds per sentence"
    )
    panel.set_xticks(TOGETHER, map(str, TOGETHER))
    panel.set_title("Five beams, median and extremes of the rounds", fontsize=10, loc="left")
    panel.legend(frameon=False)
    figure.savefig(file)
    print(f"drawn in {file.relative_to(ROOT)}", file=sys.stderr)


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("training")
    train.add_argument("--rounds", type=int, default=5)
    train.add_argument("--steps", type=int, default=20, help="steps of a chunk; a round times two chunks")
    train.set_defaults(measure=training)
    decode = commands.add_parser("decoding")
    decode.add_argument("--run", type=Path, required=True, help="the folder of a trained run")
    decode.add_argument("--ctranslate2", metavar="PYTHON", help="an interpreter with ctranslate2")
    decode.add_argument("--rounds", type=int, default=3)
    decode.add_argument("--sentences", type=int, default=500)
    decode.set_defaults(measure=decoding)
    options = parser.parse_args()
    options.measure(options)


if __name__ == "__main__":
    main()
