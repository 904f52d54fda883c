"""scripts/pages.py runs the commands of a page as they are written, and says what became of each."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.page_commands import ROOT
from tests.toy_runs import TOY

PAGE = f"""
```python title="own.py"
print("from the page")
```

```sh
# a comment
python own.py | grep page   # ends

cat pairs.tsv \\
    corpus.de > /dev/null
srun attnjax run toy
attnjax run toy --experiments {TOY.parent} --devices 1 --train.steps 1000000
```
"""


def run(page: Path, text: str, *options: str) -> tuple[int, list[str]]:
    """Returns the exit code, and the table's cells of state with the line of totals."""
    page.write_text(text)
    script = [sys.executable, str(ROOT / "scripts" / "pages.py"), str(page), *options]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    rows = [line for line in done.stdout.splitlines() if line.startswith(f"| {page.name} ")]
    return done.returncode, [row.rsplit(" | ", 2)[1] for row in rows] + done.stdout.splitlines()[-1:]


def test_commands_end_begin_or_are_not_for_this_machine(tmp_path: Path) -> None:
    code, (first, second, third, training, totals) = run(
        tmp_path / "page.md", PAGE, "--steps", "1", "--seconds", "300"
    )
    assert (first, second, third) == ("ended", "ended", "not here (needs SLURM)")
    assert training.startswith("began (")
    assert int(training.removeprefix("began (").removesuffix(" steps)")) > 0
    assert totals == "2 ended, 1 began, 1 not here, 0 failed"
    assert code == 0


@pytest.mark.parametrize(
    ("command", "seconds", "state"),
    [
        ("python -c 'raise SystemExit(3)'", "60", "failed (exit code 3)"),
        ("sleep 60", "0.3", "failed (exit code 143)"),
        ("attnjax sweep toy --dry-run --experiments nowhere", "60", "failed (exit code 2)"),
        (f"attnjax run toy --experiments {TOY.parent}", "0.3", "failed (no step in its time)"),
    ],
)
def test_a_command_that_fails_or_does_not_end_fails(
    tmp_path: Path, command: str, seconds: str, state: str
) -> None:
    code, found = run(tmp_path / "page.md", f"```sh\n{command}\n```\n", "--seconds", seconds)
    assert found == [state, "0 ended, 0 began, 0 not here, 1 failed"]
    assert code == 1
