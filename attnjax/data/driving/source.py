"""The scenes of a training and of its tests, by rules or from files, as a model reads them."""

from functools import cached_property
from typing import Literal

import numpy as np

from attnjax.data.driving.config import DrivingData
from attnjax.data.driving.files import scene_parts
from attnjax.data.driving.frames import constant_velocity, framed
from attnjax.data.driving.rules import DrivenScenes, drawn_scenes
from attnjax.data.hosts import host_rows
from attnjax.data.pipeline import Batches
from attnjax.data.synthetic.questions import Split, stream

Arrays = dict[str, np.ndarray]
LEARNED = ("seen", "present", "base", "future")
"""The arrays of a batch."""
MORE = 2
"""Cars that the scenes of a further test have more."""


class Traffic:
    """The arrays of `framed`, and "base", the places by constant velocity.

    Args:
      data: the settings.
      batch_size: scenes, of all hosts together.

    Example:
      >>> traffic = Traffic(DrivingData(cars=3), batch_size=2)
      >>> traffic.batch(0)["future"].shape
      (2, 3, 8, 2)
    """

    def __init__(self, data: DrivingData, *, batch_size: int) -> None:
        self.data, self._batch_size, self._slice = data, batch_size, host_rows(batch_size)

    def batch(self, step: int) -> Arrays:
        """Returns this host's arrays of a step of training, of the names in `LEARNED`."""
        if self._batches is not None:
            return self._batches[step]
        rng = stream(self.data.seed, Split.TRAIN, step)
        made = self.framed(drawn_scenes(self.data, self._batch_size, rng, cars=self.data.cars))
        return {name: made[name][self._slice] for name in LEARNED}

    def part(self, part: Literal["validation", "test"]) -> tuple[Arrays, DrivenScenes]:
        """Returns the arrays of a part that is held out, and its scenes."""
        if self.data.train is not None:
            return self.framed(self._files[part]), self._files[part]
        rng = stream(self.data.seed, Split.VALIDATION if part == "validation" else Split.TEST)
        scenes = drawn_scenes(self.data, self.data.evaluation_examples, rng, cars=self.data.cars)
        return self.framed(scenes), scenes

    def crowded(self) -> Arrays | None:
        """Returns scenes of the test with more cars than those of training; None of one's own."""
        if self.data.train is not None:
            return None
        rng = stream(self.data.seed, Split.TEST, 1)
        cars = self.data.cars + MORE
        return self.framed(drawn_scenes(self.data, self.data.evaluation_examples, rng, cars=cars))

    def framed(self, scenes: DrivenScenes) -> Arrays:
        """Returns the arrays of scenes."""
        arrays = framed(scenes, self.data.past, self.data.seconds)
        arrays["base"] = constant_velocity(arrays, self.data.seconds)
        return arrays

    @cached_property
    def _files(self) -> dict[str, DrivenScenes]:
        return scene_parts(self.data)

    @cached_property
    def _batches(self) -> Batches | None:
        if self.data.train is None:
            return None
        made = self.framed(self._files["train"])
        return Batches({name: made[name] for name in LEARNED}, self._batch_size, self.data.seed)
