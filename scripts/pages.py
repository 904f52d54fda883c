#!/usr/bin/env python3
"""Runs the commands of README and of the pages of the site as they are written, in the order of each page.

    python scripts/pages.py                              # all pages
    python scripts/pages.py docs/guides/runs.md --seconds 90

Each page has a folder of its own: an empty one with the small files that its commands name, or a clone of
the last commit where it speaks of scripts or of an installation. Names such as RUN are those of a tiny run.
A training has --seconds (on a busy machine as many times more as its load is above its cores), then it gets
SIGTERM and has to end with 143, saved at a step: "began". All else has to end, with 0. What this machine
cannot run is listed with what it needs (scripts/page_commands.py). At the end stands a table; if a command
failed, its last lines are printed and the exit code is 1.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import page_files
from page_commands import GOES_ON, PAGES, ROOT, STANDS_FOR, blocks, lines, needs

sys.path.insert(0, str(ROOT))

TRAINS = re.compile(r"(attnjax (run|sweep|prolong|resume)\b|scripts/fields\.sh)(?!.*--dry-run)")
SERVES = re.compile(r"attnjax serve\b.*--port (\d+)")
OF_A_CLONE = re.compile(r"scripts/|benchmarks/|docs/|\bpip ")
# A run says which step; scripts/fields.sh goes on with what is not finished.
SAVED = re.compile(r"stopped and saved(?: at step (\d+))?|^stopped: the same command", re.MULTILINE)
STOPPED_BY_SIGTERM = 143
LONGEST = 10
"""What has to end has this many times --seconds."""
GRACE_SECONDS = 60
"""After SIGTERM."""
LAST_LINES = 15
ENDED, BEGAN, NOT_HERE, FAILED = "ended", "began", "not here", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a command, and the end of what it printed."""

    page: str
    command: str
    state: str
    detail: str = ""
    seconds: float = 0.0
    output: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        state = f"{self.state} ({self.detail})" if self.detail else self.state
        return self.page, self.command.partition(" #")[0].strip(), state, f"{self.seconds:.0f} s"


class Page:
    """The folder of a page, in which its commands run one after the other."""

    def __init__(self, page: Path, folder: Path, seconds: float, steps: int) -> None:
        self.name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
        self.found = blocks(page)
        self.folder, self.seconds, self.steps = folder, seconds, steps
        self.stands_for: dict[str, str] = {}
        self.servers: list[subprocess.Popen[bytes]] = []
        self.tools = folder.with_name(f"{folder.name}-tools")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "ATTNJAX_RUNS"},
            "PATH": f"{self.tools / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def run(self) -> Iterator[Outcome]:
        """Yields what became of each command."""
        text = "\n".join(body for language, _, body in self.found if language == "sh")
        if not self.tools.exists():
            self._prepare(text)
        page_files.write(self.folder, self.name, text)
        try:
            for language, title, body in self.found:
                if title:
                    (self.folder / title).write_text(body, encoding="utf-8")
                for command in lines(body) if language == "sh" else ():
                    yield self._outcome(command)
        finally:
            for server in self.servers:
                _kill(server)

    def _prepare(self, text: str) -> None:
        """Makes the folder, and commands named attnjax, python and pip."""
        if OF_A_CLONE.search(text):
            subprocess.run(["git", "clone", "--quiet", ROOT, self.folder], check=True)
        else:
            self.folder.mkdir()
        programs, python = self.tools / "bin", sys.executable
        if re.search(r"^pip ", text, re.MULTILINE):
            # What is installed here already is seen there: pip installs what is missing.
            subprocess.run([sys.executable, "-m", "venv", self.tools], check=True)
            (packages,) = self.tools.glob("lib/python*/site-packages")
            (packages / "here.pth").write_text(next(p for p in sys.path if p.endswith("site-packages")))
            python = str(programs / "python")
        else:
            programs.mkdir(parents=True)
        for name, arguments in {"python": "", "attnjax": " -m attnjax"}.items():
            if not (programs / name).exists():
                (programs / name).write_text(f'#!/bin/sh\nexec "{python}"{arguments} "$@"\n')
                (programs / name).chmod(0o755)

    def _outcome(self, command: str) -> Outcome:
        if reason := needs(command):
            return Outcome(self.name, command, NOT_HERE, f"needs {reason}")
        try:
            filled = self._filled(command)
        except RuntimeError as error:
            return Outcome(self.name, command, FAILED, "the run that stands for a name", output=str(error))
        begun = time.monotonic()
        code, output = self._serve(filled) if SERVES.search(filled) else self._execute(filled)
        state, detail = self._state(filled, code, output)
        return Outcome(self.name, command, state, detail, time.monotonic() - begun, output)

    def _state(self, command: str, code: int | None, output: str) -> tuple[str, str]:
        if code == 0:
            return ENDED, ""
        saved = SAVED.search(output)
        if TRAINS.search(command) and code == STOPPED_BY_SIGTERM and saved:
            return BEGAN, f"{saved[1]} steps" if saved[1] else "saved"
        if code == STOPPED_BY_SIGTERM and TRAINS.search(command):
            return FAILED, "no step in its time"
        return FAILED, "did not end" if code is None else f"exit code {code}"

    def _filled(self, command: str) -> str:
        """Returns a command with the reader's names filled in; a name that comes twice is two runs."""
        for name, stands in STANDS_FOR.get(self.name, {}).items():
            if name == "RUN" and "RUN RUN" in command:
                command = command.replace("RUN RUN", "RUN RUN2")
            word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
            if word.search(command.partition(" #")[0]):
                command = word.sub(self.stands_for.get(name) or self._made(name, stands), command)
        return command

    def _made(self, name: str, stands: str) -> str:
        """Returns what a name stands for, and makes it if it is a run or a sweep."""
        found = stands
        if stands.startswith(("run ", "sweep ")):
            code, output = self._execute(f"attnjax {stands}", to_the_end=True)
            if code != 0:
                raise RuntimeError(f"attnjax {stands}: exit code {code}\n{output}")
            markers = (self.folder / "runs").glob(
                "*/result.json" if stands.startswith("run") else "sweeps/*/sweep.json"
            )
            latest = max(markers, key=lambda file: file.stat().st_mtime)
            found = str(latest.parent.relative_to(self.folder))
        self.stands_for[name] = found
        return found

    def _start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as stream:
            return subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _execute(self, command: str, *, to_the_end: bool = False) -> tuple[int | None, str]:
        """Returns the exit code, None where there is none, and what was printed."""
        trains = bool(TRAINS.search(command)) and not to_the_end
        printed = self.tools / "output"
        before, process = time.time(), self._start(command, printed)
        limit = time.monotonic() + self.seconds * busy() * (1 if trains else LONGEST)
        try:
            while process.poll() is None and time.monotonic() < limit and not (trains and self._far(before)):
                time.sleep(0.2)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            code = process.wait(GRACE_SECONDS * busy())
        except subprocess.TimeoutExpired:
            return None, _text(printed)
        finally:
            _kill(process)
        return STOPPED_BY_SIGTERM if code == -signal.SIGTERM else code, _text(printed)

    def _far(self, before: float) -> bool:
        """Whether a training that began after that moment has made --steps."""
        found = self.folder.glob("runs/**/metrics.jsonl") if self.steps else ()
        changed = [file.read_bytes() for file in found if file.stat().st_mtime > before]
        steps = [int(step) for rows in changed for step in re.findall(rb'"step": ?(\d+)', rows)]
        return max(steps, default=0) >= self.steps > 0

    def _serve(self, command: str) -> tuple[int | None, str]:
        """Starts a server, which the page's next commands ask, and returns 0 once it answers."""
        match = SERVES.search(command)
        assert match is not None
        printed = self.tools / "server"
        process = self._start(command, printed)
        self.servers.append(process)
        limit = time.monotonic() + self.seconds * busy() * LONGEST
        while process.poll() is None and time.monotonic() < limit:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", int(match[1]))) == 0:
                    return 0, ""
            time.sleep(0.2)
        return process.poll(), _text(printed)


def busy() -> float:
    """Returns how many times as long as alone a command takes beside all else that this machine does."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def main(arguments: list[str] | None = None) -> int:
    """Runs the pages, prints a line for each command and the table at the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "pages", nargs="*", type=Path, metavar="PAGE", help="files (default: all that have commands)"
    )
    parser.add_argument(
        "--seconds", type=float, default=40, help="for a training; all else has ten times as long"
    )
    parser.add_argument(
        "--steps", type=int, default=0, help="stop a training once it has made so many (default: do not)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED_BY_SIGTERM))
    found: list[Outcome] = []
    try:
        for outcome in outcomes([page.resolve() for page in options.pages] or PAGES, options):
            found.append(outcome)
            print("  ".join(outcome.cells()), flush=True)
            if outcome.state == FAILED:
                last = outcome.output.splitlines()[-LAST_LINES:]
                print("\n".join(f"    {line}" for line in last), flush=True)
    finally:
        print("\n| page | command | state | time |\n|---|---|---|---|")
        for outcome in found:
            print("|", " | ".join(cell.replace("|", "\\|") for cell in outcome.cells()), "|")
        totals = Counter(outcome.state for outcome in found)
        print("\n" + ", ".join(f"{totals[state]} {state}" for state in (ENDED, BEGAN, NOT_HERE, FAILED)))
    return 1 if totals[FAILED] else 0


def outcomes(pages: list[Path], options: argparse.Namespace) -> Iterator[Outcome]:
    """Yields what became of each command of the pages; a page that goes on in another's folder follows it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        for page in pages:
            name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
            first = GOES_ON.get(name, name)
            folder = Path(scratch) / first.replace("/", "-")
            for one in [ROOT / first, page] if first != name and not folder.exists() else [page]:
                yield from Page(one, folder, options.seconds, options.steps).run()


if __name__ == "__main__":
    sys.exit(main())
