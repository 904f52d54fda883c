"""Floor 1: one declaration of each mechanism, which configs, commands, documents and tests read. Free of jax.

To add a mechanism: its function, its row here, and its literal loop in the tests.
"""

from attnjax.mechanisms.base import Gate, Layer, Mechanism, Paper, Recipe, Recurrence
from attnjax.mechanisms.catalogue import find, recurrence, register, table
from attnjax.mechanisms.option import Option
from attnjax.mechanisms.own import mechanism
from attnjax.mechanisms.pattern import Choice, over_layers, read

__all__ = [
    "Choice",
    "Gate",
    "Layer",
    "Mechanism",
    "Option",
    "Paper",
    "Recipe",
    "Recurrence",
    "find",
    "mechanism",
    "over_layers",
    "read",
    "recurrence",
    "register",
    "table",
]
