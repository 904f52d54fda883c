"""A mechanism that cannot be, or cannot read what a task gives it: one line, and no run."""

from pathlib import Path
from typing import Any

import pytest

import attnjax as aj
from attnjax.cli import main
from attnjax.tasks.sequences import SequenceTask

SMALL = "--model.dim 8 --model.heads 2 --model.head_dim 4 --model.layers 1 --train.batch_size 4 --devices 1"


def run(mechanism: str, runs: Path, *further: str) -> int:
    return main(
        ["run", "mechanisms", *SMALL.split(), "--model.mechanism", mechanism, "--runs", str(runs), *further]
    )


@pytest.mark.parametrize(
    ("mechanism", "further", "message"),
    [
        ("lsh(buckets=3)", "", "mechanism is 'lsh(buckets=3)': buckets is 3: expected an even number"),
        ("softmax+multi_token(group=3)", "--model.layers 2", "'multi_token(group=3)': group 3: expected a"),
        ("adaptive_span(start=1000)", "", "start 1000.0: expected tokens above 0 and below longest (192)"),
        ("mixture_of_heads(active=3)", "", "active 3: expected at most 1, the heads that are not shared"),
        ("mla(rope_dim=3)", "--model.positions rope", "mla(rope_dim=3)': rope 'halves': expected an even"),
        ("relative_bias(buckets=32, max_distance=4)", "", "max_distance is 4: expected more than 16"),
        ("neighborhood", "", "the mask neighborhood((8, 8), …) is for 64 tokens: got T=48 and S=48"),
        (
            "cosformer(horizon=2)",
            "",
            "cosformer: horizon is 2.0: expected no less than model.max_length (192)",
        ),
    ],
)
def test_what_cannot_be_is_one_line(mechanism: str, further: str, message: str, tmp_path, capsys) -> None:
    assert run(mechanism, tmp_path, *further.split()) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert told.startswith("attnjax: error: ")
    assert "\n" not in told
    assert not list(tmp_path.iterdir())


def in_a_file(*_, **__) -> None:
    aj.softcap(-1.0)


IN_A_CELL: dict[str, Any] = {}
exec("def loss(*_, **__): raise ValueError('in a cell')", IN_A_CELL)


@pytest.mark.parametrize(
    ("loss", "message"), [(in_a_file, "softcap is -1.0: expected"), (IN_A_CELL["loss"], "in a cell")]
)
def test_what_code_of_a_user_raises_keeps_its_traceback(loss, message: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(SequenceTask, "loss", loss)
    with pytest.raises(ValueError, match=message) as caught:
        run("softmax", tmp_path)
    assert caught.type is ValueError
