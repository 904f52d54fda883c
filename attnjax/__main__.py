"""`python -m attnjax …` is `attnjax …`."""

from attnjax.cli import program

program()
