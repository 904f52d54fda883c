"""Prints a page of the site with the help of every command: what the command line says of itself today."""

import contextlib
import io
import os

from attnjax.cli import main
from attnjax.cli.command_line import COMMANDS

COLUMNS = 96


def help_of(*arguments: str) -> str:
    """Returns what a command prints for --help."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*arguments, "--help"])
    return out.getvalue().rstrip()


def page() -> str:
    """Returns the page as Markdown."""
    parts = ["# The command line", f"```text\n{help_of()}\n```"]
    parts += [f"## attnjax {name}\n\n```text\n{help_of(name)}\n```" for name in COMMANDS]
    return "\n\n".join(parts)


if __name__ == "__main__":
    os.environ.update(COLUMNS=str(COLUMNS), NO_COLOR="1")
    print(page())
