"""Trained runs as small as they get, which several modules use as they are: their answers mean nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attnjax.cli import main

SMALL = """
    --model.dim 8 --model.heads 2 --model.encoder_layers 1 --model.decoder_layers 1 --train.steps 4
    --train.batch_size 4 --train.log_every 2 --train.checkpoint_every 2 --train.warmup_steps 1
    --data.holdout 0.2 --data.max_target_length 8 --devices 1
"""


def read_once(runs: Path, load_params: Callable[..., Any]) -> Callable[..., Any]:
    """Reads the parameters of `runs`, which stay as they are, once in a process: that takes a second."""
    kept: dict[Any, Any] = {}

    def load(task: Any, config: Any, *, folder: Path, mesh: Any = None, **which: Any) -> Any:
        if folder.parent != runs or mesh is not None:
            return load_params(task, config, folder=folder, mesh=mesh, **which)
        key = (folder, *(str(which[name]) for name in sorted(which)))
        if key not in kept:
            kept[key] = load_params(task, config, folder=folder, **which)
        return kept[key]

    return load


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("translate")
    corpus = folder / "corpus.tsv"
    corpus.write_text("".join(f"{n}\t{n + 1}\n" for n in range(20)))
    arguments = [
        "run",
        "translation",
        *SMALL.split(),
        "--data.train",
        str(corpus),
        "--runs",
        str(folder / "runs"),
    ]
    assert main(arguments) == 0
    small = "--model.dim 8 --model.layers 1 --data.pairs 2 --data.length 8 --data.evaluation_examples 4"
    few = "--train.steps 2 --train.batch_size 4 --train.log_every 2 --train.checkpoint_every 2"
    recall = [
        "run",
        "recall",
        *small.split(),
        *few.split(),
        "--train.warmup_steps",
        "1",
        "--devices",
        "1",
        "--data.vocab",
        "12",
    ]
    assert main([*recall, "--runs", str(folder / "runs")]) == 0
    corpus.unlink()  # A trained run is enough: translating needs no corpus.
    from attnjax.train import loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "load_params", read_once(folder / "runs", loop.load_params))
        yield folder / "runs"
