"""Runs whose batches are drawn by lengths and corpora: they go on with the same ones."""

import json
import shutil

import jax
import numpy as np
import pytest

from attnjax.cli import main
from attnjax.experiment import registry
from attnjax.experiment.overrides import apply
from attnjax.experiment.registry import default_config
from tests.cli.conftest import SMALL


@pytest.fixture
def options(tmp_path, monkeypatch) -> list[str]:
    """Of two corpora, with pieces that are drawn and words that are dropped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        lines = [" ".join(rng.choice(["ab", "cd", "ef"], rng.integers(1, 9))) for _ in range(80)]
        (tmp_path / f"{name}.tsv").write_text("".join(f"{line}\t{line[:5]}\n" for line in lines))
    return [
        *SMALL.split(),
        *("--train.steps", "6", "--data.train", str(tmp_path / "one.tsv")),
        *("--data.more", str(tmp_path / "two.tsv"), "--data.weights", "1", "3"),
        *("--data.tags", "<a>", "<b>", "--data.on_disk", "--data.buckets", "2"),
        *("--data.batch_tokens", "200", "--data.tokenizer", "bpe", "--data.vocab_size", "40"),
        *("--data.bpe_dropout", "0.1", "--data.noise.tokendrop", "0.5"),
    ]


def test_batches_from_files_larger_than_memory_follow_from_the_step(options, tmp_path):
    """Whatever was asked before, and though the files of tokens are made again."""
    arguments = options[: options.index("--devices")] + options[options.index("--devices") + 2 :]
    registry.discover()
    config = apply(default_config(registry.find("translation")), arguments, program="run")

    def batch(task, step):
        return jax.tree.map(np.asarray, task.batch(step))

    first = config.task(tmp_path / "first")
    batches = [batch(first, step) for step in range(8)]
    shutil.rmtree(tmp_path / "cache")
    again = config.task(tmp_path / "again")
    for step in (5, 2, 7):
        jax.tree.map(np.testing.assert_array_equal, batch(again, step), batches[step])
    assert len({next(iter(one.values())).tobytes() for one in batches}) == 8


@pytest.mark.slow
def test_a_run_from_files_larger_than_memory_goes_on_in_the_same_order(options, tmp_path, capsys):
    run = ["run", "translation", *options, "--runs", str(tmp_path / "runs")]
    assert main(run) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    first, rows = json.loads((folder / "result.json").read_text()), (folder / "metrics.jsonl").read_text()
    # What a kill after the fourth step leaves.
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "6")
    shutil.rmtree(tmp_path / "cache")  # The files of tokens are made again.
    capsys.readouterr()
    assert main(run) == 0
    again = json.loads((folder / "result.json").read_text())
    assert again["resumed_from"] == 4
    assert again["params_hash"] == first["params_hash"]
    assert (folder / "metrics.jsonl").read_text() == rows
