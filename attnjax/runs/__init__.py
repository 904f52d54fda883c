"""Floor 7: one run: its folder, its start and its end, what it left, what it can be asked.

>>> from attnjax import runs
>>> run = runs.run("translation", {"model.heads": 8, "train.steps": 200})  # doctest: +SKIP
>>> run.result, run.history, run.predict(["3. März 2021"])  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from attnjax.lazy import attach

if TYPE_CHECKING:
    from attnjax.runs.trained import TrainedRun, load, run

    __all__ = ["TrainedRun", "load", "run"]
else:
    __getattr__, __dir__, __all__ = attach(__name__)
