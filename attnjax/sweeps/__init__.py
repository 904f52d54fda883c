"""Floor 8: many runs: grids and searches, packs of trials, launchers, tables.

>>> from attnjax import sweeps
>>> sweep = sweeps.sweep("translation", {"model.heads": [2, 4, 8]}, seeds=3)  # doctest: +SKIP
>>> sweep.table, sweep.best, sweep.figure("model.heads")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from attnjax.lazy import attach

if TYPE_CHECKING:
    from attnjax.sweeps.finished import FinishedSweep, load, sweep

    __all__ = ["FinishedSweep", "load", "sweep"]
else:
    __getattr__, __dir__, __all__ = attach(__name__)
