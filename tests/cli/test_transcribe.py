"""`attnjax transcribe`: a line for each clip, times of words, a picture, one clear error for each misuse."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.pretrained.test_speech import as_ctranslate2
from tests.pretrained.tiny_whisper import tiny_whisper, tones, write_wav

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    noise = np.random.default_rng(0).normal(size=4000) / 5
    return [
        str(write_wav(tmp_path / "tone.wav", tones(0.9))),
        str(write_wav(tmp_path / "noise.wav", noise, 8000, channels=2)),
    ]


def test_each_clip_has_a_line_words_with_times_and_a_picture(
    attnjax: Run, folder: Path, clips: list[str], tmp_path: Path
) -> None:
    code, out, err = attnjax("transcribe", str(folder), *clips)
    assert (code, err, out.count("\n")) == (0, "", 2)
    code, lines, err = attnjax("transcribe", str(folder), *clips, "--json", "--pictures", str(tmp_path / "p"))
    records = [json.loads(line) for line in lines.splitlines()]
    assert [record["file"] for record in records] == clips
    assert "".join(record["text"] + "\n" for record in records) == out
    for record, seconds, name in zip(records, (0.9, 0.5), ("tone", "noise"), strict=True):
        times = [word[edge] for word in record["words"] for edge in ("begin", "end")]
        assert times == sorted(times)
        assert times[0] == 0
        assert times[-1] <= seconds
        assert " ".join(word["word"] for word in record["words"]) == " ".join(record["text"].split())
        assert (tmp_path / "p" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert err.count("\n") == 2


def test_misuse_is_told_in_one_line(attnjax: Run, folder: Path, clips: list[str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = str(write_wav(tmp_path / "other" / "tone.wav", tones(0.2)))
    long = str(write_wav(tmp_path / "long.wav", tones(1.2)))
    for arguments, message in (
        ((*clips, twin, "--pictures", str(tmp_path)), "--pictures: two clips are called tone"),
        ((long,), "long.wav lasts 1.2 s: expected at most 1 s, cut it"),
        ((clips[0], "--language", "fr"), "language is 'fr'"),
        ((str(folder / "config.json"),), "config.json is no WAV file"),
    ):
        code, out, err = attnjax("transcribe", str(folder), *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_a_model_of_ctranslate2_is_converted_and_read(
    attnjax: Run, folder: Path, clips: list[str], tmp_path: Path
) -> None:
    as_ctranslate2(folder, tmp_path / "binary")
    new = str(tmp_path / "converted")
    assert attnjax("pretrained", "convert", str(tmp_path / "binary"), "--out", new) == (0, "", "")
    assert attnjax("transcribe", new, *clips) == attnjax("transcribe", str(folder), *clips)
    for arguments, message in (
        (
            ("convert", str(tmp_path / "binary")),
            "--out is None: expected a new folder with convert, none else",
        ),
        (("convert", str(tmp_path / "binary"), "--out", new), f"{new} exists: expected the name of a new"),
        (("show", new, "--out", new), "expected a new folder with convert, none else"),
        (("show", new, "--boosted"), "--boosted: it is for verify"),
    ):
        code, out, err = attnjax("pretrained", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
