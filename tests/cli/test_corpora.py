"""Real parallel corpora, from packages that are installed, as a user trains on them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel import Locale

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SMALL = """
    --model.dim 16 --model.encoder_layers 1 --model.decoder_layers 1
    --train.steps 4 --train.log_every 2 --train.checkpoint_every 2 --train.warmup_steps 1
""".split()


def attnjax(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """`attnjax …` in a fresh process."""
    command = [*before, sys.executable, "-m", "attnjax", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_names_of_territories_train_go_on_and_translate_in_fresh_processes(tmp_path, monkeypatch):
    """With defaults of the engine and of the devices: nothing that an earlier call left helps them."""
    english = Locale("en").territories
    # German and Irish: texts long enough for the blockwise engine to be chosen.
    names = [(name, english[code]) for own in ("de", "ga") for code, name in Locale(own).territories.items()]
    names = sorted(names, key=lambda pair: -len(pair[0]))[::3]  # Every third: the long ones are among them.
    monkeypatch.chdir(tmp_path)
    lines = [f"{name}\t{target}" for name, target in names]
    lines[3:3] = ["no target", "Erde\t" + "e" * 255]
    Path("names.tsv").write_text("\n".join(lines))
    run = ["run", "translation", "--data.train", "names.tsv", "--data.skip_malformed", *SMALL]

    done = attnjax(*run)
    assert f"attnjax: {len(names)} pairs: " in done.stderr
    assert f": 2 of {len(lines)} lines cannot be used: {tmp_path}/names.tsv:4: 1 tab-sep" in done.stderr
    assert f"{tmp_path}/names.tsv:5: the target text has 257 tokens" in done.stderr
    assert "BLEU counts runs of 4 words" in done.stderr
    (folder,) = Path("runs").iterdir()
    first = result(folder)
    assert list(first["metrics"]["test"])[:2] == ["chrF", "exact match %"]
    assert json.loads((folder / "data.json").read_text())["left_out"] == 2

    # What a kill after the second step leaves.
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "4")
    attnjax(*run)
    again = result(folder)
    assert (first["resumed_from"], again["resumed_from"]) == (0, 2)
    assert again["params_hash"] == first["params_hash"]

    translated = attnjax("translate", "translation", "Deutschland", before=read_only(folder))
    assert translated.stdout.count("\n") == 1


def read_only(folder: Path) -> tuple[str, ...]:
    """Forbids to write to a folder; the command takes from root the power to write all the same."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() != 0:
        return ()
    assert shutil.which("setpriv"), "setpriv (util-linux) is needed to test as root"
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
