"""Sound: WAV files of all widths and rates, and mel frames as transformers computes them."""

from pathlib import Path

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.sound import RATE_HZ, log_mel, read_wav
from tests.pretrained.tiny_whisper import tones, write_wav


@pytest.mark.parametrize(("width", "channels"), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 2)])
def test_files_of_all_widths_say_the_same(width: int, channels: int, tmp_path: Path) -> None:
    samples = tones(0.1)
    file = write_wav(tmp_path / "tone.wav", samples, width=width, channels=channels)
    assert np.abs(read_wav(file, 30) - samples).max() <= 2.0 ** (2 - 8 * width)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_a_file_of_another_rate_is_resampled(rate: int, tmp_path: Path) -> None:
    times = np.arange(rate) / rate
    found = read_wav(write_wav(tmp_path / "tone.wav", np.sin(2000 * np.pi * times) / 2, rate), 30)
    expected = np.sin(2000 * np.pi * np.arange(RATE_HZ) / RATE_HZ) / 2
    assert len(found) == RATE_HZ
    assert np.abs(found - expected)[100:-100].max() <= 2e-3  # At its ends a filter sees silence.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.wav", "missing.wav cannot be read (No such file or directory): expected a WAV file"),
        ("text.wav", "text.wav is no WAV file (file does not start with RIFF id): expected WAV of whole"),
        ("empty.wav", "empty.wav is no WAV file (it ends too early): expected WAV of whole"),
        ("nothing.wav", "nothing.wav has no samples: expected sound"),
        ("long.wav", "long.wav lasts 1.5 s: expected at most 1 s, cut it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("what is said, in letters")
    (tmp_path / "empty.wav").touch()
    write_wav(tmp_path / "nothing.wav", np.zeros(0))
    write_wav(tmp_path / "long.wav", tones(1.5, 8000), 8000)
    with pytest.raises(InputError) as error:
        read_wav(tmp_path / name, 1)
    assert str(error.value).startswith(f"{tmp_path}/{message}")


def test_a_file_that_lost_its_end_gives_what_there_is(tmp_path: Path) -> None:
    file = write_wav(tmp_path / "tone.wav", tones(0.5))
    whole = read_wav(file, 30)
    file.write_bytes(file.read_bytes()[:-1001])
    assert np.array_equal(read_wav(file, 30), whole[: len(whole) - 501])


@pytest.mark.parametrize("bands", [80, 128])
def test_frames_are_those_of_transformers(bands: int) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    draw = np.random.default_rng(0)
    sounds = [tones(1.3) + 0.01 * draw.normal(size=20800), draw.normal(size=480_000) / 9, np.zeros(1600)]
    hear = transformers.WhisperFeatureExtractor(feature_size=bands)
    for sound in sounds:
        expected = hear(sound, sampling_rate=RATE_HZ, return_tensors="np").input_features[0].T
        assert np.abs(log_mel(sound, bands) - expected).max() <= 1e-4


def test_more_samples_than_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"samples \[16001\]: expected at most 16000, of 100 frames"):
        log_mel(np.zeros(16_001), frames=100)
