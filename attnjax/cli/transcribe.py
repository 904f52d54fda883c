"""`attnjax transcribe`: what is said in sounds, when each word is, and a picture of that."""

import argparse
import json
from pathlib import Path

from attnjax.config import require
from attnjax.runs.start import Notify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax transcribe`."""
    add = parser.add_argument
    add("model", type=Path, metavar="DIR", help="a folder of a pretrained Whisper")
    add("clips", type=Path, nargs="+", metavar="CLIP.wav", help="sounds of at most 30 seconds each")
    add("--language", metavar="XX", help="that is spoken, such as de, for a model that knows several")
    add("--json", action="store_true", help="print a JSON object for each clip, with the times of words")
    add("--pictures", type=Path, metavar="DIR", help="draw the spectrum and where words are, DIR/CLIP.png")
    add(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the computation (default: float32)",
    )


def transcribe(options: argparse.Namespace, notify: Notify) -> int:
    """Writes what is said in sounds, a line for each."""
    names = [clip.stem for clip in options.clips]
    twice = next((name for name in names if names.count(name) > 1), None)
    require(
        options.pictures is None or twice is None,
        f"--pictures: two clips are called {twice}, expected names of their own",
    )
    from attnjax.runs.devices import start_jax

    start_jax(1)
    from attnjax.data.sound import read_wav
    from attnjax.pretrained.speech import speech_model

    model = speech_model(options.model, language=options.language, dtype=options.dtype)
    sounds = [read_wav(clip, model.longest_s) for clip in options.clips]
    timed = options.json or options.pictures is not None
    found = model.transcripts(sounds, words=timed)
    for clip, sound, transcript in zip(options.clips, sounds, found, strict=True):
        if options.json:
            words = [
                {"word": word.text, "begin": round(word.begin_s, 2), "end": round(word.end_s, 2)}
                for word in transcript.words
            ]
            record = {"file": str(clip), "text": transcript.text, "words": words}
            print(json.dumps(record, ensure_ascii=False), flush=True)
        else:
            print(transcript.text, flush=True)
        if options.pictures is not None and transcript.words:
            from attnjax.explain.of_speech import speech_figure
            from attnjax.tasks.pictures import encoded

            options.pictures.mkdir(parents=True, exist_ok=True)
            file = options.pictures / f"{clip.stem}.png"
            file.write_bytes(encoded(speech_figure(sound, transcript, transcript.text)))
            notify(f"{file}")
    return 0
