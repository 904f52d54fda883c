"""`attnjax predict` of a trained captioner: a caption, a picture and a page for an image."""

from pathlib import Path

import pytest
from PIL import Image

from attnjax.cli import main

SMALL = """
    run captioning --model.dim 8 --model.heads 2 --model.hidden 8 --model.encoder_layers 1
    --model.decoder_layers 1 --model.patch 20 --model.implementation reference --data.kind digits
    --data.examples 24 --data.evaluation_examples 4 --train.steps 2 --train.batch_size 4 --train.log_every 2
    --train.checkpoint_every 2 --train.warmup_steps 1 --devices 1
"""


@pytest.mark.slow
def test_a_trained_run_captions_an_image_and_writes_what_it_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs", str(tmp_path / "runs")]
    assert main([*SMALL.split(), *runs]) == 0
    assert "captions.png" in capsys.readouterr().out
    Image.new("RGB", (60, 50), (9, 9, 9)).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no image")
    given = ["predict", "captioning", str(tmp_path / "grey.png"), "--to", str(tmp_path), *runs]
    assert main(given) == 0
    out, errors = capsys.readouterr()
    page = (tmp_path / "grey.caption.html").read_text()
    assert out.strip()
    assert f"<h1>{out.strip()}</h1>" in page
    assert (tmp_path / "grey.caption.png").is_file()
    assert "grey.caption.png" in errors
    (tmp_path / "b").mkdir()
    Image.new("RGB", (60, 50), (200, 9, 9)).save(tmp_path / "b" / "grey.jpg")
    twice = [str(tmp_path / "grey.png"), str(tmp_path / "b" / "grey.jpg")]
    assert main(["predict", "captioning", *twice, "--to", str(tmp_path / "b"), *runs]) == 0
    capsys.readouterr()
    pages = [tmp_path / "b" / f"{name}.caption.html" for name in ("grey", "grey-2")]
    assert pages[0].read_text() == page
    assert pages[1].read_text() != page
    assert main(["explain", "captioning", str(tmp_path / "grey.png"), *runs]) == 2
    hint = "CaptioningTask has neither tokens nor patches to show; `attnjax predict` with --details"
    assert hint in capsys.readouterr().err
    for arguments, message in (
        ([str(tmp_path / "text.png")], "text.png: it is no image that Pillow reads"),
        ([str(tmp_path / "grey.png"), "--to", str(tmp_path / "none")], "there is no such folder"),
    ):
        assert main(["predict", "captioning", *arguments, *runs]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error
        assert "\n" not in error
