"""The translator of LibreOffice's help beside eole's: tokens per second, and what both reach in equal time.

    attnjax run help_texts --transformer.positions sinusoidal
    python benchmarks/eole.py --run RUN --eole PYTHON [--rounds 3] [--steps 20] [--sentences 500]

PYTHON is an interpreter with eole 0.6.4, torch and aiohttp, which eole's command imports and does not bring.
eole gets the very tokens of the run, sinusoidal positions, tied embeddings, the same sizes, batches of as
many tokens, dropout and label smoothing, and the schedule of its recipes (noam) with the same greatest rate
after as many warm-up steps.

Speed: chunks of training take turns, each side on all cores as its users have it. eole is a process that
begins anew in each round; of its log counts what follows the first report. Tokens are those of both sides,
without padding.

Quality: eole trains as many steps as it makes, at that speed, in the time that the run's steps take, and
answers, as the run does, with five beams; both are scored by sacrebleu on texts put together from the tokens.

Decoding: both translate the sentences of the first test with their own weights, by five beams and
greedily, in turns; both divide log probabilities by the length, as eole does by default. eole's time is
what it says itself (`-report_time`), without its start, in its batches of 30; ours is that of
`task.translate`, from texts to texts. Models that learned other things write texts of other lengths: the
tokens that each wrote stand beside.
"""

import argparse
import dataclasses
import json
import math
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from _measure import alternate, machine, plain_environment, report, summary
from step import ours
from translate import Help

from attnjax.experiment import registry
from attnjax.runs.devices import choose_devices, cores, make_mesh
from attnjax.runs.predict import trained_task
from attnjax.runs.store import Run
from attnjax.tasks.metrics.text import bleu, chrf
from attnjax.tasks.translation.config import SearchConfig
from attnjax.train.mesh import MeshShape

SIDES = ("source", "target")
MARKS = 4
"""The first ids, which eole has its own words for."""
LINE = re.compile(r"\[([\d-]+ [\d:,]+) INFO\] Step (\d+)/.*?bsz:\s*(\d+)/\s*(\d+)/")
"""A report of eole's: when, after how many steps, and the tokens of a step on both sides."""
SECONDS = re.compile(r"(?:Step 0|Subsequent prediction) time[^:]*: ([\d.]+)")
"""What eole says of its time for all sentences, in two parts."""
ROUND, BEAMS = 10, 5
"""Steps between two reports of eole's, and the beams of both."""


class Reported(NamedTuple):
    """A line of eole's log: the step, the seconds since the first such line, the tokens of a step."""

    step: int
    seconds: float
    tokens: int


class Answered(NamedTuple):
    """Translations, how many tokens they have, and the seconds that they took."""

    texts: list[str]
    tokens: int
    seconds: float


class Eole:
    """eole in another interpreter, on the tokens of a task.

    Args:
      python: the interpreter.
      config: of a trained run.
      task: of the run.
      folder: for files.
    """

    def __init__(self, python: str, config: Any, task: Any, folder: Path) -> None:
        self._command = [str(Path(python).with_name("eole"))]
        self._config, self._task, self._folder = config, task, folder
        self._env = plain_environment() | {"OMP_NUM_THREADS": str(cores())}
        lines = Path(config.data.train).read_text(encoding="utf-8").splitlines()
        for side, texts in zip(SIDES, zip(*(line.split("\t") for line in lines), strict=True), strict=True):
            self._write(side, getattr(task.encoder, side).encode(texts))
        size = task.encoder.target.size
        (folder / "vocabulary").write_text("".join(f"{number}\t1\n" for number in range(MARKS, size)))

    def train(self, steps: int, *, every: int, save: int) -> list[Reported]:
        """Trains, and returns the reports of its log, every so many steps."""
        config, train = self._task.config, self._config.train
        shape = {
            "architecture": "transformer",
            "hidden_size": config.dim,
            "layers": config.encoder_layers,
            "heads": config.heads,
            "transformer_ff": config.filled().hidden_dim,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "embeddings": {"word_vec_size": config.dim, "position_encoding_type": "SinusoidalInterleaved"},
        }
        training = {
            "model_path": str(self._folder / "model"),
            "batch_size": self._config.data.batch_tokens,
            "batch_type": "tokens",
            "normalization": "tokens",
            "optim": "adamw",
            "adam_beta2": 0.98,
            # noam's factor, for the same rate at the end of the warm-up.
            "learning_rate": train.learning_rate * math.sqrt(config.dim * train.warmup_steps),
            "decay_method": "noam",
            "warmup_steps": train.warmup_steps,
            "train_steps": steps,
            "save_checkpoint_steps": save,
            "dropout": [train.dropout],
            "attention_dropout": [train.dropout],
            "label_smoothing": self._config.loss.label_smoothing,
            "max_grad_norm": train.clip_norm,
            "compute_dtype": "fp32",
            "num_workers": 0,
            "bucket_size": 20_000,
        }
        words = str(self._folder / "vocabulary")
        paths = dict(zip(("path_src", "path_tgt"), (str(self._folder / side) for side in SIDES), strict=True))
        everything = {
            "save_data": str(self._folder / "data"),
            "overwrite": True,
            "src_vocab": words,
            "tgt_vocab": words,
            "share_vocab": True,
            "seed": 1,
            "report_every": every,
            "data": {"corpus": paths},
            "transforms": [],
            "model": shape,
            "training": training,
        }
        file = self._folder / "config.yaml"  # JSON is YAML.
        file.write_text(json.dumps(everything))
        found = LINE.findall(self._run("train", "-config", str(file)))
        times = [datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp() for at, *_ in found]
        return [
            Reported(int(step), at - times[0], int(source) + int(target))
            for (_, step, source, target), at in zip(found, times, strict=True)
        ]

    def answer(self, texts: Sequence[str], step: int, beams: int) -> Answered:
        """Returns the translations of texts by the checkpoint of a step."""
        self._write("asked", self._task.encoder.source.encode(texts))
        model, out = self._folder / "model" / f"step_{step}", self._folder / "answers"
        options = {"model_path": model, "src": self._folder / "asked", "output": out, "beam_size": beams}
        given = (x for name, value in options.items() for x in (f"-{name}", str(value)))
        log = self._run("predict", *given, "-report_time")
        rows = [list(map(int, line.split())) for line in out.read_text().splitlines()]
        found = [self._task.encoder.target.decode(row) for row in rows]
        return Answered(found, sum(map(len, rows)), sum(map(float, SECONDS.findall(log))))

    def _write(self, name: str, ids: list[list[int]]) -> None:
        lines = (" ".join(str(token) for token in row if token >= MARKS) for row in ids)
        (self._folder / name).write_text("".join(f"{line}\n" for line in lines))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._env, capture_output=True, text=True, cwd=self._folder
        )
        if done.returncode:
            raise SystemExit(f"eole {arguments[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout + done.stderr


class Trained(Help):
    """The setting of a run, trained as `attnjax run` does."""

    def __init__(self, config: Any, task: Any) -> None:
        # Batches of one chunk have one width, and chunks are as long as in the run.
        steps = config.train.log_every
        self.steps, self.first, self.task = steps, steps, task
        chunks = {"steps": 3 * steps, "log_every": steps, "checkpoint_every": 3 * steps, "warmup_steps": 1}
        self.train = dataclasses.replace(config.train, **chunks)
        self.devices, _ = choose_devices(config.train.batch_size)
        self.mesh = make_mesh(MeshShape(data=self.devices))


def speed(peer: Eole, setting: Trained, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Returns the seconds of a step of both, and their tokens per second, in turns."""
    tokens = {"ours": setting.tokens}

    def theirs() -> float:
        reports = peer.train(ROUND + options.steps, every=ROUND, save=10**6)
        tokens["eole"] = statistics.fmean(one.tokens for one in reports[1:])
        return reports[-1].seconds / (reports[-1].step - reports[0].step)

    times = alternate({"ours": ours(setting), "eole": theirs}, options.rounds)
    rows = summary(times, "eole")
    for name, row in rows.items():
        row["tokens_per_s"] = round(tokens[name] / row["median_s"], 1)
    return rows


def quality(
    peer: Eole, run: Run, task: Any, params: Any, rows: dict[str, dict[str, Any]], most: int
) -> dict[str, Any]:
    """Returns the scores of the run, and of eole after as long a training."""
    result: Any = run.result()
    step = round(result["step"] * rows["ours"]["median_s"] / rows["eole"]["median_s"])
    peer.train(step, every=ROUND, save=step)
    search = SearchConfig(beams=BEAMS, length_penalty="average")
    found: dict[str, Any] = {"steps": {"ours": result["step"], "eole": step}}
    for name, part in task.references().items():
        sources, targets = part[0][:most], part[1][:most]
        mine = [one.text for one in task.translate(params, sources, search=search)]
        answers = {"ours": mine, "eole": peer.answer(sources, step, BEAMS).texts}
        found[name] = {
            who: {"BLEU": round(bleu(texts, targets), 2), "chrF": round(chrf(texts, targets), 2)}
            for who, texts in answers.items()
        }
        print(name, found[name], flush=True)
    return found


def decoding(
    peer: Eole, task: Any, params: Any, step: int, sources: list[str], rounds: int
) -> dict[str, Any]:
    """Returns the seconds in which both translate, in turns, and how many tokens they write."""
    rows: dict[str, Any] = {}
    for name, beams in (("greedy", 1), ("beam 5", BEAMS)):
        own = decoding_by(beams, peer, task, params, step, sources, rounds)
        rows |= {f"{name} {who}": row for who, row in own.items()}
        print({who: (row["median_s"], row["tokens"]) for who, row in own.items()}, flush=True)
    return rows


def decoding_by(
    beams: int, peer: Eole, task: Any, params: Any, step: int, sources: list[str], rounds: int
) -> dict[str, dict[str, Any]]:
    """Returns the same for one number of beams, by who translates."""
    search = SearchConfig(beams=beams, length_penalty="average")
    tokens = {"ours": 0, "eole": 0}

    def mine() -> float:
        began = time.perf_counter()
        found = task.translate(params, sources, search=search)
        tokens["ours"] = sum(len(one.target_pieces) for one in found)
        return time.perf_counter() - began

    def theirs() -> float:
        found = peer.answer(sources, step, beams)
        tokens["eole"] = found.tokens
        return found.seconds

    mine()  # Compiles.
    own = summary(alternate({"ours": mine, "eole": theirs}, rounds), "eole")
    return {who: row | {"tokens": tokens[who]} for who, row in own.items()}


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of a trained run")
    parser.add_argument("--eole", metavar="PYTHON", required=True, help="an interpreter with eole")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="of eole's in a round")
    parser.add_argument("--sentences", type=int, default=500, help="of each test, that are scored")
    options = parser.parse_args()
    registry.discover()
    about = machine() | {"threads": cores()}
    run = Run(options.run)
    _, config = run.load()
    found, params = trained_task(run)
    task: Any = found
    with tempfile.TemporaryDirectory() as place:
        peer = Eole(options.eole, config, task, Path(place))
        rows = speed(peer, Trained(config, task), options)
        print({name: row["tokens_per_s"] for name, row in rows.items()}, flush=True)
        more = quality(peer, run, task, params, rows, options.sentences)
        sources = next(iter(task.references().values()))[0][: options.sentences]
        rows |= decoding(peer, task, params, more["steps"]["eole"], sources, options.rounds)
    report(
        "translation-eole",
        rows,
        about,
        "seconds of a step of training, and of decoding all sentences; ratio: to eole of its round",
        more,
    )


if __name__ == "__main__":
    main()
