"""The commands that the README and the pages of the site show: where they stand, and what they need."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)

GOES_ON = {"docs/tutorials/sweep.md": "docs/tutorials/experiment.md"}
"""Pages that go on in the folder of another one."""

TINY = "--train.steps 20"

STANDS_FOR: dict[str, dict[str, str]] = {
    "README.md": {
        "RUN": f"run translation {TINY}",
        "SWEEP": f"sweep recall --grid train.learning_rate=1e-3,3e-3 {TINY}",
    },
    "docs/concepts/context.md": {"RUN": f"run recall {TINY}"},
    "docs/guides/captioning.md": {"RUN": f"run captioning {TINY}"},
    "docs/guides/detection.md": {"RUN": f"run detection {TINY}"},
    "docs/guides/driving.md": {"RUN": f"run driving {TINY}"},
    "docs/guides/faithfulness.md": {
        "EXPERIMENT": "translation",
        "RUN": f"run translation {TINY} --watch decoder.1.cross_attention",
    },
    "docs/guides/finetune.md": {
        "RUN": f"run finetune --data.train mine.tsv --init-from my-bert {TINY}",
    },
    "docs/guides/health_tables.md": {"RUN": f"run support2 {TINY}"},
    "docs/guides/language_model.md": {"RUN": f"run language_model {TINY}"},
    "docs/guides/meshes.md": {"RUN": f"run translation --mesh fsdp=2 --rules fsdp {TINY}"},
    "docs/guides/molecules.md": {"RUN": f"run solubility {TINY}"},
    "docs/guides/patients.md": {"RUN": f"run patients {TINY}"},
    "docs/guides/recommendation.md": {"RUN": f"run movielens {TINY}"},
    "docs/guides/runs.md": {
        "RUN": f"run translation {TINY} --train.schedule constant",
        "RUN2": f"run translation {TINY} --train.schedule constant --seed 1",
    },
    "docs/guides/sentiment.md": {"RUN": f"run sentiment {TINY}"},
    "docs/guides/summarisation.md": {"RUN": f"run summarisation {TINY}"},
    "docs/guides/sweeps.md": {
        "SWEEP": f"sweep recall --grid train.learning_rate=1e-3,3e-3 {TINY}",
    },
    "docs/guides/translation.md": {
        name: f"run translation --data.train train.de --data.train_target train.en --seed {seed} {TINY}"
        for seed, name in enumerate(("RUN", "RUN2", "RUN3"))
    },
    "docs/guides/viewer.md": {
        "runs/translation-1a2b3c4d": f"run translation {TINY}",
        "runs/recognition-1a2b3c4d": f"run recognition {TINY}",
    },
}
"""For each page the names of what is the reader's: a word in their place, or what makes a tiny run of it."""

NOT_HERE = {
    r"gs://|scripts/tpu_vm\.sh": "a bucket and TPU VMs of Google Cloud",
    r"^sbatch|^srun": "SLURM",
    r"^xpk": "a cluster of Kubernetes with TPUs",
    r"HEAD:6379": "a cluster of Ray",
    r"jax\[cuda13\]": "a GPU of NVIDIA",
    r"mechanisms_card\.py": "what the sweep before it ends with, after 20 minutes or a night",
    r"^scripts/(demo|test|docs)\.sh": "minutes, for an environment of its own; CI runs .ci/run",
}
"""Patterns of commands that a machine such as this cannot run, and what they need."""


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Returns the language, the title and the text of each block of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def lines(text: str) -> list[str]:
    """Returns the commands of a block, each in one line as it is written; comments alone are left out."""
    joined = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in joined if line and not line.startswith("#")]


def commands(text: str) -> list[list[str]]:
    """Returns the arguments of each line that calls attnjax."""
    return [shlex.split(line, comments=True)[1:] for line in lines(text) if line.startswith("attnjax ")]


def needs(command: str) -> str | None:
    """Returns what a command needs that is not here; None if nothing."""
    return next((reason for pattern, reason in NOT_HERE.items() if re.search(pattern, command)), None)
