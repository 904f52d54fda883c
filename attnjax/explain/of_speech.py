"""A picture of when words are said: the spectrum of a sound, and where in it each word was read."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from attnjax.data.sound import HOP, RATE_HZ, log_mel
from attnjax.pretrained.speech import VECTOR_SAMPLES, Transcript
from attnjax.runs.report.plot_axes import DPI


def speech_figure(samples: Float[np.ndarray, " n"], transcript: Transcript, title: str = "") -> Figure:
    """Returns the mel spectrum with the times of words, and below it what each token looks at.

    Args:
      samples: at 16 kHz.
      transcript: with times of words.
      title: above it.

    Raises:
      ValueError: The transcript has no words.
    """
    if transcript.gain is None or transcript.path is None or not transcript.words:
        raise ValueError(f"transcript {transcript.text!r}: expected one with times of words")
    frames = max(1, -(-len(samples) // HOP))
    seconds, rows = len(samples) / RATE_HZ, len(transcript.pieces)
    size = (max(6.0, min(16.0, 2.5 * seconds)), 3.0 + 0.22 * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 0.3 + 0.22 * rows))
    spectrum = log_mel(samples, frames=frames).T
    above.imshow(spectrum, origin="lower", aspect="auto", extent=(0, frames * HOP / RATE_HZ, 0, 80))
    above.set_ylabel("mel band")
    above.set_title(title, fontsize=10)
    for number, word in enumerate(transcript.words):
        above.axvline(word.begin_s, color="w", lw=0.8)
        above.axvline(word.end_s, color="w", lw=0.8)
        # Neighbours have two heights, so that short words do not write over each other.
        place = (word.begin_s + word.end_s) / 2, 76 if number % 2 else 68
        above.text(*place, word.text, color="w", fontsize=8, ha="center", va="center")
    step = VECTOR_SAMPLES / RATE_HZ
    width = transcript.gain.shape[1] * step
    below.imshow(transcript.gain, aspect="auto", cmap="magma", extent=(0, width, rows - 0.5, -0.5))
    below.plot((transcript.path[1] + 0.5) * step, transcript.path[0], color="c", lw=1, label="best path")
    below.set_yticks(range(rows), [piece.replace("$", r"\$") for piece in transcript.pieces], fontsize=8)
    below.set_xlim(0, seconds)
    below.set_xlabel("seconds")
    below.legend(loc="lower left", fontsize=8)
    return figure
