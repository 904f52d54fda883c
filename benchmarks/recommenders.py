"""RecBole's own SASRec beside a run of `movielens`: the same log, the same split, all items ranked alike.

    attnjax run movielens --weights best
    python benchmarks/recommenders.py --run RUN --recbole PYTHON [--minutes 30] [--seed 0]

PYTHON is an interpreter with RecBole 1.2.1, whose own settings are kept: two layers, two heads, 64 numbers,
dropout of a half, the softmax over all items. It gets the run's log with the place of each event in its
user's history as the time, so that events at one time have the same order on both sides, and histories as
long. It trains for so many minutes; of its epochs the one with the best NDCG@10 in validation counts.

RecBole ranks what a user has taken again. So its scores are ranked as ours are, without it and with it, and
the number that RecBole itself tells stands beside.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import machine, plain_environment, report

from attnjax.data.synthetic.questions import Split
from attnjax.experiment import registry
from attnjax.runs.devices import cores
from attnjax.runs.predict import trained_task
from attnjax.runs.store import Run
from attnjax.tasks.metrics.ranking import places_of, ranking_metrics
from attnjax.tasks.recommendation.baselines import whole_histories

SHOWN = ("HR@10", "NDCG@10", "MRR", "coverage@10")


def write_log(task: Any, folder: Path) -> None:
    """Writes the log in RecBole's form."""
    log = task.log
    users = np.repeat(np.arange(log.users), np.diff(log.starts))
    places = np.arange(len(log.items)) - log.starts[users]
    rows = zip(users.tolist(), log.items.tolist(), places.tolist(), strict=True)
    (folder / "log").mkdir()
    (folder / "log" / "log.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"{user}\t{item}\t{place}\n" for user, item, place in rows)
    )


def theirs(task: Any, options: argparse.Namespace) -> tuple[dict[str, Any], np.ndarray]:
    """Trains RecBole's model, and returns what it tells and its scores of all items."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_log(task, folder)
        spec = {
            "folder": place,
            "seconds": 60 * options.minutes,
            "seed": options.seed,
            "threads": cores(),
            "users": task.log.users,
            "items": task.log.catalogue,
            "model": {"MAX_ITEM_LIST_LENGTH": task.data.length},
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        script = Path(__file__).with_name("_recbole_peer.py").resolve()
        command = [options.recbole, str(script), str(folder / "spec.json")]
        if subprocess.run(command, env=plain_environment(), cwd=folder).returncode:
            raise SystemExit("RecBole ended: its message is above")
        return json.loads((folder / "told.json").read_text()), np.load(folder / "scores.npy")


def ours(task: Any, params: Any) -> np.ndarray:
    """Returns our scores of all items for each user of the test."""
    asked = task.examples.asked(task.parts.test, Split.TEST)
    arrays = {name: asked[name] for name in ("items", "lengths", "times") if name in asked}
    return np.asarray(task.infer(task.all_scores, params, arrays, rows=task.rows))


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of a trained run")
    parser.add_argument("--recbole", metavar="PYTHON", required=True, help="an interpreter with RecBole")
    parser.add_argument("--minutes", type=float, default=30, help="of RecBole's training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    registry.discover()
    run = Run(options.run)
    found, params = trained_task(run)
    task: Any = found
    told, scored = theirs(task, options)
    targets = np.asarray(task.log.items)[task.parts.test.at]
    histories = list(whole_histories(task.parts, task.parts.test))
    rows: dict[str, Any] = {}
    for name, values in (("ours", ours(task, params)), ("recbole", scored[task.parts.test.users])):
        for kind, excluded in (("", histories), (", seen ranked too", [x[:0] for x in histories])):
            metrics = ranking_metrics(places_of(values, targets, excluded), task.log.catalogue)
            rows[name + kind] = {column: round(metrics[column], 4) for column in SHOWN}
    about = machine() | {"threads": cores()}
    result: Any = run.result()
    more = {"recbole": told, "ours": {"steps": result["step"], "seconds": result["training_seconds"]}}
    report("recommenders", rows, about, "ranked among all items; users of the test", more)


if __name__ == "__main__":
    main()
