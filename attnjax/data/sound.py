"""Sound as Whisper reads it: WAV files at 16 kHz, and the logarithm of their energy in mel bands.

References:
  Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022, arXiv:2212.04356.
"""

import math
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attnjax.config import InputError, require

RATE_HZ = 16_000
"""Samples of a second, whatever the rate of a file."""
HOP = 160
"""Samples from one frame to the next: 10 ms."""
WINDOW = 400
"""Samples of a frame: 25 ms."""
LEAST_ENERGY = 1e-10
"""Of a band in a frame: what is below counts as so much."""
DECADES = 8.0
"""Of energy that are kept below the loudest: 80 dB."""
_LINEAR_MELS, _LINEAR_HZ = 15.0, 1000.0
_LOG_STEP = math.log(6.4) / 27


def read_wav(file: str | Path, longest_s: float) -> Float[np.ndarray, " n"]:
    """Returns the samples of a file, in [-1, 1] at 16 kHz: the mean of its channels, resampled.

    Args:
      file: in the WAV format, of whole numbers of 8, 16, 24 or 32 bits (PCM).
      longest_s: seconds that it may last.

    Raises:
      InputError: The file is missing or no such file, has no samples, or lasts longer.
    """
    try:
        with wave.open(str(file)) as sound:
            rate, width, channels = sound.getframerate(), sound.getsampwidth(), sound.getnchannels()
            count = sound.getnframes()
            lasts = count / max(rate, 1)
            require(count > 0, f"{file} has no samples: expected sound")
            require(
                lasts <= longest_s, f"{file} lasts {lasts:.1f} s: expected at most {longest_s:g} s, cut it"
            )
            data = sound.readframes(count)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): expected a WAV file") from None
    except (wave.Error, EOFError) as error:
        reason = str(error) or "it ends too early"
        raise InputError(f"{file} is no WAV file ({reason}): expected WAV of whole numbers (PCM)") from None
    bytes_ = np.frombuffer(data, np.uint8)
    bytes_ = bytes_[: len(bytes_) // (width * channels) * width * channels].reshape(-1, width)
    require(len(bytes_) > 0, f"{file} has no samples: expected sound")
    if width == 1:  # Of one byte alone, silence is 128.
        samples = bytes_[:, 0] / 128.0 - 1.0
    else:
        whole = np.zeros((len(bytes_), 4), np.uint8)
        whole[:, 4 - width :] = bytes_
        samples = whole.view("<i4")[:, 0] / 2.0**31
    return _resampled(samples.reshape(-1, channels).mean(1), rate)


def log_mel(
    samples: Float[np.ndarray, " n"], bands: int = 80, frames: int = 3000
) -> Float[np.ndarray, "S F"]:
    """Returns the logarithm of the energy in mel bands of each 10 ms, as Whisper scales it.

    log10 of the energies is cut off at 8 below its greatest value, then 4 is added and all divided by 4.

    Args:
      samples: in [-1, 1] at 16 kHz; silence follows them.
      bands: F, between 0 and 8 kHz.
      frames: S.

    Raises:
      ValueError: There are more samples than frames for them.

    Example:
      >>> tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ)
      >>> int(log_mel(tone, 80, 100).mean(0).argmax())
      26
    """
    if len(samples) > frames * HOP:
        raise ValueError(f"samples [{len(samples)}]: expected at most {frames * HOP}, of {frames} frames")
    padded = np.zeros(frames * HOP)
    padded[: len(samples)] = samples
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:frames]
    spectrum = np.fft.rfft(windows * np.hanning(WINDOW + 1)[:-1])
    energies = np.log10(np.maximum(np.abs(spectrum) ** 2 @ _filters(bands), LEAST_ENERGY))
    return ((np.maximum(energies, energies.max() - DECADES) + 4) / 4).astype(np.float32)


def _resampled(samples: Float[np.ndarray, " n"], rate: int) -> Float[np.ndarray, " m"]:
    """Returns samples of another rate at 16 kHz."""
    if rate == RATE_HZ:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(rate, RATE_HZ)
    return np.asarray(resample_poly(samples, RATE_HZ // common, rate // common))


@lru_cache
def _filters(bands: int) -> Float[np.ndarray, "K F"]:
    """Returns the weight of each frequency in each band: triangles of equal area (Slaney's mel scale)."""
    top = _LINEAR_MELS + math.log(RATE_HZ / 2 / _LINEAR_HZ) / _LOG_STEP
    mels = np.linspace(0, top, bands + 2)
    log = _LINEAR_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_MELS))
    edges = np.where(mels < _LINEAR_MELS, mels * _LINEAR_HZ / _LINEAR_MELS, log)
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)[:, None]
    below, middle, above = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hertz - below) / (middle - below), (above - hertz) / (above - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * 2 / (above - below))
