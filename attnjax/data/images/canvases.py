"""The images of a training of detection and of its tests, drawn or from files, as a model reads them."""

from functools import cached_property

import numpy as np

from attnjax.data.hosts import host_rows
from attnjax.data.images.boxes import own_objects
from attnjax.data.images.config import DetectionData
from attnjax.data.images.objects import Objects, drawn_objects, names_of
from attnjax.data.images.pictures import normalised, of_unit
from attnjax.data.pipeline import Batches
from attnjax.data.synthetic.questions import Split, stream

MORE = 2
"""Objects that the images of a further test have more than those of training have at most."""
HELD_OUT, CROWDED = "held-out images", f"{MORE} objects more"
Arrays = dict[str, np.ndarray]


class Canvases:
    """Images with objects by part: "train", "validation", and the rows of the final table.

    Args:
      data: the settings.
      batch_size: images, of all hosts together.

    Example:
      >>> canvases = Canvases(DetectionData(), batch_size=2)
      >>> {name: array.shape for name, array in canvases.batch(0).items()}
      {'images': (2, 32, 32, 3), 'labels': (2, 3), 'boxes': (2, 3, 4), 'present': (2, 3)}
    """

    def __init__(self, data: DetectionData, *, batch_size: int) -> None:
        self.data, self._batch_size, self._slice = data, batch_size, host_rows(batch_size)
        self._own = None if data.train is None else own_objects(data)
        self.names: tuple[str, ...] = names_of(data) if self._own is None else self._own[1]

    @property
    def notes(self) -> list[str]:
        """Lines on the sizes of what was read, and on what was left out; none of drawn images."""
        if self._own is None:
            return []
        sizes = ", ".join(
            f"{len(part.images)} {name} with {int(part.present.sum())} objects"
            for name, part in self._own[0].items()
        )
        return [f"images: {sizes}; {len(self.names)} labels: {', '.join(self.names)}", *self._own[2]]

    @property
    def most(self) -> int:
        """Objects of an image at most."""
        if self._own is None:
            return self.data.objects + MORE
        return max(part.present.shape[1] for part in self._own[0].values())

    def batch(self, step: int) -> Arrays:
        """Returns this host's arrays of a step of training, as of `arrays_of`."""
        if self._own is not None:
            rows = self._batches[step]["row"]
            return arrays_of(Objects(*(array[rows] for array in self._own[0]["train"])))
        made = drawn_objects(self.data, self._batch_size, stream(self.data.seed, Split.TRAIN, step))
        return arrays_of(Objects(*(array[self._slice] for array in made)))

    @cached_property
    def validation(self) -> Objects:
        """The images that choose the best checkpoint."""
        return self._own[0]["validation"] if self._own is not None else self._drawn(Split.VALIDATION, 0)

    @cached_property
    def tests(self) -> dict[str, Objects]:
        """The images of each row of the final table."""
        if self._own is not None:
            return {HELD_OUT: self._own[0]["test"]}
        return {HELD_OUT: self._drawn(Split.TEST, 0), CROWDED: self._drawn(Split.TEST, MORE)}

    def _drawn(self, part: Split, more: int) -> Objects:
        data = self.data
        rng, count = stream(data.seed, part, more), data.evaluation_examples
        if not more:
            return drawn_objects(data, count, rng)
        return drawn_objects(data, count, rng, least=data.objects + 1, most=data.objects + more)

    @cached_property
    def _batches(self) -> Batches:
        assert self._own is not None
        rows = np.arange(len(self._own[0]["train"].images))
        return Batches({"row": rows}, self._batch_size, self.data.seed)


def arrays_of(objects: Objects) -> Arrays:
    """Returns "images" from -2 to 2, "labels", "boxes" and "present"."""
    images = normalised(of_unit(objects.images))
    return {
        "images": images,
        "labels": objects.labels,
        "boxes": objects.boxes,
        "present": objects.present,
    }
