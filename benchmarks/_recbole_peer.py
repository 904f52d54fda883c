"""RecBole's own SASRec on a log that is given, in a process of its own.

    python _recbole_peer.py SPEC.json

Trains for as many seconds as the settings say, with validations and the choice of the best epoch as RecBole
makes them, and writes its scores of all items for each user of the test.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed


def settings(spec: dict[str, Any]) -> Config:
    """Returns RecBole's settings: its own, for a log whose split and lengths are ours."""
    asked = {
        **spec["model"],
        "data_path": spec["folder"],
        "checkpoint_dir": spec["folder"],
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
        "train_neg_sample_args": None,
        "metrics": ["Hit", "NDCG", "MRR"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "show_progress": False,
        "state": "ERROR",
        "use_gpu": False,
        "seed": spec["seed"],
    }
    return Config(model="SASRec", dataset="log", config_dict=asked)


@torch.no_grad()
def scores(model: Any, dataset: Any, test: Any, users: int, items: int) -> np.ndarray:
    """Returns the scores [users, items] of the test, by our numbers of both."""
    model.eval()
    own = dataset.token2id(dataset.iid_field, [str(item) for item in range(items)])
    found = np.full((users, items), np.nan, np.float32)
    for interaction, *_ in test:
        names = dataset.id2token(dataset.uid_field, interaction[dataset.uid_field].numpy())
        found[names.astype(int)] = model.full_sort_predict(interaction).numpy()[:, own]
    return found


def main() -> None:
    """Trains, and writes scores.npy and told.json beside the log."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(spec["threads"])
    config = settings(spec)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    model = get_model("SASRec")(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "SASRec")(config, model)
    started, epochs, best, kept, own = time.perf_counter(), 0, -1.0, None, {}
    while time.perf_counter() - started < spec["seconds"]:
        trainer._train_epoch(train, epochs)
        found, _ = trainer._valid_epoch(valid)
        epochs += 1
        print(f"epoch {epochs}  {time.perf_counter() - started:.0f} s  NDCG@10 {found:.4f}", flush=True)
        if found > best:
            best, kept = found, {name: x.clone() for name, x in model.state_dict().items()}
            own = trainer.evaluate(test, load_best_model=False)
    seconds = time.perf_counter() - started
    model.load_state_dict(kept)
    np.save(Path(spec["folder"]) / "scores.npy", scores(model, dataset, test, spec["users"], spec["items"]))
    parameters = sum(x.numel() for x in model.parameters())
    told = {"epochs": epochs, "seconds": seconds, "parameters": parameters, "validation": best}
    told["own"] = {name: float(value) for name, value in own.items()}
    (Path(spec["folder"]) / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
