"""What the tests of `attnjax run` share: the toy experiment, and looks into its run folder.

All on one device, so that a run in this process and one in another have the same bits.
"""

import json
import os
from pathlib import Path

TOY = Path(__file__).parent / "sweeps" / "user_folder" / "toy.py"
WHERE = ["--experiments", str(TOY.parent)]
RUN = ["run", "toy", "--devices", "1", *WHERE]


def only_run() -> Path:
    (folder,) = Path("runs").iterdir()
    return folder


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def provenance(folder: Path) -> list[dict]:
    """One record for each start of the run."""
    return json.loads((folder / "provenance.json").read_text())["starts"]


def held(step: int, file: Path) -> dict[str, str]:
    """The environment of a process whose trainings come no further than `step` while there is `file`."""
    file.touch()
    return {**os.environ, "TOY_HELD": f"{step}:{file.resolve()}"}


def edit(file: Path, *path, value) -> None:
    """Sets one entry of a JSON file."""
    data = json.loads(file.read_text())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(data))
