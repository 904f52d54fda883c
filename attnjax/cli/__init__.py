"""The command line. jax is imported only by the commands that need it."""

from attnjax.cli.command_line import main, program, run_file

__all__ = ["main", "program", "run_file"]
