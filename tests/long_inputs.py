"""Every experiment, on inputs so long that the blockwise engine is chosen.

python -m tests.long_inputs FOLDER DEVICES [EXPERIMENT…]: in a process of its own, because what was computed
before hides what would be moved to a device while a step is traced.
"""

import os
import random
import sys
from pathlib import Path

from attnjax.cli import main
from attnjax.experiment import registry
from attnjax.ops import attention
from attnjax.ops.engines import choose

TRAIN = "--train.steps 2 --train.warmup_steps 1 --train.checkpoint_every 2 --train.log_every 1"
MODEL = "--model.dim 16 --model.hidden 16"
SYNTHETIC = f"--model.layers 1 --data.evaluation_examples 2 {MODEL} {TRAIN}"
PAIRS = f"--data.train pairs.tsv --model.encoder_layers 1 --model.decoder_layers 1 {MODEL} {TRAIN}"
LONG = {
    "copying": f"--data.length 64 --train.batch_size 32 {SYNTHETIC}",
    "mechanisms": f"--data.length 128 --train.batch_size 32 {SYNTHETIC}",
    "recall": f"--data.length 128 --train.batch_size 32 {SYNTHETIC}",
    "translation": f"--train.batch_size 32 {PAIRS}",
}


OTHERS = {
    "captioning": "its images have few patches",
    "emoji": "it needs pictures that a script fetches",
    "faithfulness": "its evaluation runs the model thousands of times",
    "finetune": "it needs the folder of a pretrained model",
    "mosaic": "its images have few patches",
    "nearest": "its layers are those of graphs",
    "recognition": "it needs scikit-learn, or images of one's own",
    "recognition_swin": "likewise",
    "show_attend_tell": "its images have few patches",
}
"""Experiments whose inputs are not made long here, and why."""


def run(devices: str, names: list[str]) -> None:
    write_pairs(Path("pairs.tsv"))
    chosen: list[str] = []

    def noted(*args):
        choice = choose.choose(*args)
        chosen.append(choice.engine.name)
        return choice

    attention.choose = noted
    for name in names:
        chosen.clear()
        assert main(["run", name, *LONG[name].split(), "--devices", devices]) == 0, name
        assert "blockwise" in chosen, f"{name} is not long enough"


def ours() -> list[str]:
    """Every experiment of this repository that is not one of the others."""
    folder = Path(__file__).parents[1] / "experiments"
    registry.discover()
    names = {experiment.name for experiment in registry.known() if experiment.file.parent == folder}
    return sorted(names - OTHERS.keys())


def write_pairs(file: Path) -> None:
    """40 pairs of 18 words."""
    rng = random.Random(0)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    lines = [rng.choices(words, k=18) for _ in range(40)]
    file.write_text("".join(f"{' '.join(line)}\t{' '.join(line[::-1])}\n" for line in lines))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    run(sys.argv[2], sys.argv[3:] or ours())
