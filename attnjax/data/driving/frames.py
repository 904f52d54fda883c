"""Scenes as a model reads them: what is seen in the frame of car 0, what comes in the frame of each car."""

import numpy as np
from jaxtyping import Float

from attnjax.data.driving.rules import DrivenScenes

UNIT_M = 10.0
"""The unit of what a model reads."""
MOVES_MPS = 0.5
"""A car that is slower stands."""
Arrays = dict[str, np.ndarray]


def framed(scenes: DrivenScenes, past: int, seconds: float) -> Arrays:
    """Returns arrays of the scenes.

    Where a car stands, its heading is that of the frame.

    Returns:
      "seen" [n, C, W], the places, their changes and the lane ahead, in tens of metres from car 0, whose
      heading is that of x; and cosine and sine of the car's own heading. "present" [n, C]. "future"
      [n, C, F, 2] in metres from the car's last seen place and heading. "speed" [n, C] in m/s, and "change"
      in m/s², along that heading. "minded", "matters" and "alone", which is in the frame of car 0.
    """
    seen, future = scenes.places[:, :, :past], scenes.places[:, :, past:]
    now = seen[:, :, -1]
    steps = np.diff(seen, axis=2)
    speed = np.linalg.norm(steps[:, :, -1], axis=-1) / seconds
    heading = np.where(speed > MOVES_MPS, np.arctan2(steps[:, :, -1, 1], steps[:, :, -1, 0]), 0.0)
    before = np.linalg.norm(steps[:, :, -2], axis=-1) / seconds if past > 2 else speed
    origin, frame = now[:, :1, None], heading[:, :1, None]
    places, lanes = turned(seen - origin, -frame), turned(scenes.lanes - origin, -frame)
    own = heading - heading[:, :1]
    parts = [
        (places / UNIT_M).reshape(*now.shape[:2], -1),
        turned(steps / seconds, -frame).reshape(*now.shape[:2], -1) / UNIT_M,
        (lanes / UNIT_M).reshape(*now.shape[:2], -1),
        np.stack([np.cos(own), np.sin(own)], axis=-1),
    ]
    return {
        "seen": np.concatenate(parts, axis=-1).astype(np.float32),
        "present": scenes.present,
        "future": turned(future - now[:, :, None], -heading[:, :, None]).astype(np.float32),
        "speed": speed.astype(np.float32),
        "change": ((speed - before) / seconds).astype(np.float32),
        "minded": scenes.minded.astype(np.int32),
        "matters": scenes.matters,
        "alone": turned(scenes.alone - now[:, :1], -heading[:, :1]).astype(np.float32),
    }


def turned(points: Float[np.ndarray, "... 2"], angle: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... 2"]:
    """Returns points turned about the origin.

    Example:
      >>> turned(np.array([1.0, 0.0]), np.array(np.pi / 2)).round(6).tolist()
      [0.0, 1.0]
    """
    x, y = points[..., 0], points[..., 1]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def constant_velocity(
    arrays: Arrays, seconds: float, *, change: bool = False
) -> Float[np.ndarray, "n C F 2"]:
    """Returns where cars would be that keep their speed and heading, or the change of their speed too.

    A car that slows down stops.
    """
    times = seconds * np.arange(1, arrays["future"].shape[2] + 1)
    speed = np.where(arrays["speed"] > MOVES_MPS, arrays["speed"], 0)[..., None]
    way = speed * times
    if change:
        rate = np.where(speed > 0, arrays["change"][..., None], 0)
        stop = np.where(rate < 0, speed / np.maximum(-rate, 1e-6), np.inf)
        until = np.minimum(times, stop)
        way = speed * until + rate * until**2 / 2
    return np.stack([way, np.zeros_like(way)], axis=-1).astype(np.float32)
