"""For the site: what two pages show beside their text, help of commands and guides of CONTRIBUTING.md."""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from attnjax.cli import main
from attnjax.cli.command_line import COMMANDS

ROOT = Path(__file__).parents[1]
COLUMNS = 96


def commands() -> str:
    """Returns what each command prints for --help, as Markdown."""
    os.environ.update(COLUMNS=str(COLUMNS), NO_COLOR="1")

    def block(*arguments: str) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main([*arguments, "--help"])
        return f"```text\n{out.getvalue().rstrip()}\n```"

    return "\n\n".join([block(), *(f"## attnjax {name}\n\n{block(name)}" for name in COMMANDS)])


def guides() -> str:
    """Returns the guides for contributors, each with its diffs; links are seen from the page's folder."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("\n## Guides\n")[2].partition("\n**Dependencies**")[0]
    # A list begins after an empty line: other readers of Markdown ask for none.
    for written, shown in (("](docs/guides/", "]("), ("\n### ", "\n## "), ("\n1. ", "\n\n1. ")):
        section = section.replace(written, shown)
    return "\n## ".join(part + _diffs(part) for part in section.split("\n## "))


def _diffs(text: str) -> str:
    """Returns the diffs that a text links to, folded."""
    return "".join(
        f"\n<details markdown>\n<summary>{name}</summary>\n\n"
        f"````diff\n{(ROOT / 'docs' / 'guides' / name).read_text(encoding='utf-8')}````\n\n</details>\n"
        for name in re.findall(r"\]\((\w+\.diff)\)", text)
    )


MADE = {"reference/command_line.md": commands, "guides/adding.md": guides}


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Appends to a page what is made for it; mkdocs calls this for each page."""
    made = MADE.get(page.file.src_uri)
    return markdown if made is None else f"{markdown.rstrip()}\n\n{made()}\n"
