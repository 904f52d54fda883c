"""scripts/speech.py: which words are compared, the error rate by hand, and what times of words agree with."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from attnjax.data.fetch.packages import Package
from attnjax.pretrained.speech import Word
from tests.pretrained.tiny_whisper import write_wav

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def speech() -> ModuleType:
    """scripts/speech.py."""
    spec = importlib.util.spec_from_file_location("speech_script", SCRIPTS / "speech.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Press 1, or 21: don't [beep]", "press one or twenty one dont"),
        ("At 9 a.m. (pause) e-mail: 305", "at nine am e mail three hundred five"),
        ("1,200 and 12000", "one thousand two hundred and twelve thousand"),
        ("Press * or #.", "press star or pound"),
        ("the 1st, 12th, 70th and 93rd", "the first twelfth seventieth and ninety third"),
        ("[ascending tones]", ""),
    ],
)
def test_words_are_compared_without_case_and_marks(speech: ModuleType, text: str, words: str) -> None:
    assert speech.plain(text) == words


def test_the_error_rate_is_that_of_all_words_together(speech: ModuleType) -> None:
    pytest.importorskip("jiwer", reason="jiwer is not installed (extra: speech)")
    truths, answers = ["a b c d", "a", "b c d e f"], ["a x c", "a", "b c d e f"]
    found = speech.error_rate(truths, answers, 0)
    assert found["WER %"] == pytest.approx(100 * 2 / 10)  # One other and one that lacks, of ten words.
    assert found["clips right %"] == pytest.approx(100 * 2 / 3)
    assert 0 == found["from"] < found["WER %"] < found["to"] <= 50
    few = speech.error_rate(["a", *["b c d e f g h i j"] * 9], ["x", *["b c d e f g h i j"] * 9], 0)
    assert few["WER %"] == pytest.approx(100 / 82)
    assert few["to"] < 10  # Clips count by their words: the mean of the rates of clips would be at 30.
    assert speech.error_rate(truths, [""] * 3, 0)["WER %"] == 100
    assert speech.error_rate(["a"], ["b c d"], 0)["WER %"] == 300


def sound(*parts: tuple[float, bool]) -> np.ndarray:
    """So many seconds each, with sound or without."""
    return np.concatenate([np.full(round(16_000 * seconds), 0.5 * heard) for seconds, heard in parts])


def test_times_are_compared_with_where_there_is_sound(speech: ModuleType) -> None:
    clip = sound(
        (0.2, False), (0.6, True), (0.1, False), (0.3, True), (0.4, False), (0.6, True), (0.3, False)
    )
    ((begin, end),) = speech.pauses(speech.loud(clip))  # A tenth of a second is no pause, nor are the ends.
    assert (begin, end) == pytest.approx((1.2, 1.6))
    words = [Word("one,", 0.0, 1.3), Word("two", 1.6, 1.9), Word("three.", 1.9, 2.0)]
    found = speech.timing([(clip, words)])
    assert found["last end off s"] == pytest.approx(0.2)
    assert found["marks off s"] == pytest.approx(0.1)
    assert (found["marks within 0.15 s %"], found["marks"], found["clips out of order"]) == (100, 1, 0)
    late = [Word("one,", 0.0, 1.5), Word("two", 1.4, 2.6)]
    found = speech.timing([(clip, late), (clip, [Word("all", 0.0, 2.0)])])
    assert (found["marks within 0.15 s %"], found["clips out of order"]) == (0, 1)
    assert math.isnan(speech.timing([(clip, words[1:])])["marks off s"])


def test_words_that_are_spread_evenly_are_as_long_as_their_letters(speech: ModuleType) -> None:
    words = [Word("a", 0.5, 0.6), Word("bcd", 0.6, 0.7)]
    assert speech.evenly(words, 2.0) == [Word("a", 0.0, 0.5), Word("bcd", 0.5, 2.0)]


def test_prompts_are_clips_that_have_words_and_are_short(
    speech: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    doc = tmp_path / "usr/share/doc/asterisk-core-sounds-en"
    clips = tmp_path / "usr/share/asterisk/sounds/en_US_f_Allison"
    (clips / "digits").mkdir(parents=True)
    doc.mkdir(parents=True)
    lines = "; A comment: no\n\ndigits/1: one\nbeep: [a tone]\nlong: so long\ngone: no clip\ngone2\n"
    (doc / "core-sounds-en.txt.gz").write_bytes(gzip.compress(lines.encode()))
    for name, seconds in (("digits/1", 0.5), ("beep", 0.5), ("long", 2.0)):
        write_wav(clips / f"{name}.wav", np.zeros(int(8000 * seconds)), 8000)
    monkeypatch.setattr(Package, "fetched", lambda *_: tmp_path)
    assert speech.prompts(1.0) == [(clips / "digits/1.wav", "one")]
