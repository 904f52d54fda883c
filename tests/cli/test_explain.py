"""`attnjax explain`: a page of a pretrained folder, one line for each misuse. Of runs: test_predict."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.small_llama import folder as folder

Run = Callable[..., tuple[int, str, str]]


def contents(file: Path) -> dict:
    html = file.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="contents">(.*?)</script>', html, re.DOTALL)[1])


def test_a_page_has_every_input_with_what_was_written_after_it(attnjax: Run, folder: Path) -> None:
    code, out, err = attnjax("explain", str(folder), "ab", "é", "--max-tokens", "3", "--methods", "none")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"explanation\.html: \d+ kB, 2 inputs, 1 layer with 2 heads\n", out)
    shown = contents(Path("explanation.html"))
    first, second = shown["explanations"]
    assert (first["title"], second["title"], len(second["written"])) == ("ab", "é", 3)
    (layer,) = first["maps"]
    assert (layer["name"], layer["firstWritten"]) == ("blocks.0.attention", 1)
    assert shown["tokens"][layer["rows"]][:2] == ["a", "b"]
    options = (
        "--max-tokens",
        "0",
        "--heads",
        "1",
        "--layers",
        "0",
        "--out",
        "other.html",
        "--methods",
        "raw",
    )
    code, _, err = attnjax("explain", str(folder), *options, "ab")
    assert code == 0
    assert "attributing by raw" in err
    assert "measuring how faithful" in err
    (only,) = contents(Path("other.html"))["explanations"]
    assert (only["written"], [head["name"] for head in only["maps"][0]["heads"]]) == ([], ["1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no INPUT: expected a text, or the file of an image"),
        (["x", "--layers", "2-"], "--layers is '2-': expected numbers such as 0,3-5"),
        (["x", "--heads", "5-3"], "--heads is '5-3': it names none"),
        (["x", "--layers", "4"], "capture.layers (4,): there are 1, counted from 0"),
        (
            ["x", "--methods", "rolout"],
            "method is 'rolout': there is none of this name; the nearest are rollout",
        ),
        (["x", "--max-tokens", "-1"], "--max-tokens is -1: expected 0 or more"),
        (["x", "--out", "page.pdf"], "--out is 'page.pdf': expected a name that ends in .html"),
        (["x", "--out", "no/page.html"], "there is no folder 'no'"),
    ],
)
def test_misuse_is_one_line_and_no_page(
    attnjax: Run, folder: Path, arguments: list[str], message: str
) -> None:
    code, out, err = attnjax("explain", str(folder), *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not list(Path().glob("*.html"))


def test_of_another_folder_or_run_it_says_what_it_expected(attnjax: Run, tmp_path: Path) -> None:
    assert "'nothing' is no folder, and there is no run 'nothing'" in attnjax("explain", "nothing", "x")[2]
    (tmp_path / "empty").mkdir()
    assert (
        "expected a folder of a pretrained model, or a run"
        in attnjax("explain", str(tmp_path / "empty"), "x")[2]
    )


SMALL = """
    run recognition --model.dim 8 --model.heads 2 --model.hidden 8 --model.layers 1 --model.patch 4
    --model.implementation reference --data.augment.crop 1 --train.steps 2 --train.batch_size 4
    --train.log_every 2 --train.checkpoint_every 2 --train.warmup_steps 1 --devices 1
"""


@pytest.mark.slow
def test_a_run_of_images_has_a_page_with_each_image(attnjax: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez(tmp_path / "grey.npz", images=images, labels=np.arange(20) % 2)
    assert attnjax(*SMALL.split(), "--data.path", str(tmp_path / "grey.npz"))[0] == 0
    Image.fromarray(images[0]).save("a.png")
    code, out, _ = attnjax("explain", "recognition", "a.png", "a.png", "--methods", "raw")
    assert code == 0
    assert "2 inputs, 1 layer with 2 heads" in out
    shown = contents(Path("explanation.html"))
    first = shown["explanations"][0]
    assert [first["image"][name] for name in ("rows", "columns", "first")] == [2, 2, 1]
    assert (first["title"][:6], first["saliencies"][0]["method"]) == ("a.png:", "raw")
    Path("text.png").write_text("no image")
    assert "it is no image" in attnjax("explain", "recognition", "text.png")[2]
