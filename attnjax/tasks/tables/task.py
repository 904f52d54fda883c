"""Labels of the rows of a table by an FT-Transformer, beside simpler models, for all and by subgroup."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import InputError, require
from attnjax.data.pipeline import Batches
from attnjax.data.tables.config import TableData
from attnjax.data.tables.features import Features
from attnjax.data.tables.files import Table
from attnjax.data.tables.parts import label_names, table_parts
from attnjax.models.table import TableTransformer
from attnjax.models.table_config import TableConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.losses import of_labels
from attnjax.tasks.metrics.binary import binary_scores
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.tables.baselines import BOOSTING, has_boosting, table_baselines
from attnjax.tasks.tables.subgroups import subgroups
from attnjax.tasks.texts.label import Label

PICTURE = "calibration.png"
FEATURES = "features.json"
"""The file with the columns and labels that a run keeps."""
Account = Callable[[TableTransformer, Arrays, Sequence[str]], Mapping[str, Mapping[str, float]]]
"""A function from the trained model, the test rows and the names of columns to further rows of the table."""


class TableTask(ModelTask[TableTransformer]):
    """Trains a `TableTransformer` to tell the label of a row, whose persons no other part has.

    Args:
      data: the rows.
      model: the shape of the model; its labels are those of the task.
      batch_size: of all hosts together.
      folder: of a trained run, which has its columns and labels itself.
      account: adds rows to the final table, such as the importance of columns.

    Raises:
      InputError: the rows cannot be used.
    """

    def __init__(
        self,
        data: TableData,
        model: TableConfig,
        *,
        batch_size: int,
        folder: Path | None = None,
        account: Account | None = None,
    ) -> None:
        require(model.labels == 2, f"model.labels is {model.labels}: data.target has 2 values")
        self._data, self.config, self._batch_size, self._account = data, model, batch_size, account
        if folder is not None and (folder / FEATURES).is_file():
            record = json.loads((folder / FEATURES).read_text(encoding="utf-8"))
            self.features = Features.loaded(record["features"])
            self.names: tuple[str, str] = (record["labels"][0], record["labels"][1])
        else:
            self.features = Features.of(self._parts["train"], data)
            self.names = label_names(self._parts["train"], data)

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The area under the receiver operating characteristic."""
        return "auroc", "max"

    @property
    def notes(self) -> list[str]:
        """The number of rows and columns, what is left out, and a baseline that is not there."""
        parts = self._parts.items()
        counts = ", ".join(f"{len(part)} for {name}" for name, part in parts)
        label, shares = self.names[1], [self._labels(name).mean() for name, _ in parts]
        share = f"{label!r} is the label of {', '.join(f'{100 * share:.1f} %' for share in shares)}"
        left = f"; not read: {', '.join(self._data.left_out)}" if self._data.left_out else ""
        lines = [f"rows: {counts}; {share}", f"columns: {len(self.features.names)}{left}"]
        if not has_boosting():
            lines.append(f"scikit-learn is not installed: the table has no row {BOOSTING!r}")
        return lines

    def build(self, rngs: nnx.Rngs) -> TableTransformer:
        """Returns a model of the columns."""
        return TableTransformer(self.config, self.features.classes, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's "values" [B, F] and "labels" [B] of a step."""
        return self._batches[step]

    def loss_of(
        self,
        model: TableTransformer,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the cross-entropy of the labels."""
        logits = model(batch["values"], dropout=dropout).logits
        assert logits is not None
        return of_labels(logits, batch["labels"])

    def validate(self, params: Params) -> dict[str, float]:
        """Returns AUROC and Brier score of the validation part."""
        scores = binary_scores(
            self._shares(params, self.validation["values"]), self._labels("validation") == 1
        )
        return {"auroc": scores["AUROC"], "brier": scores["Brier"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of the test part, of baselines on it, and by subgroup, and a picture of them."""
        from attnjax.tasks.pictures import save
        from attnjax.tasks.tables.picture import table_figure

        test, train = self._arrays("test"), self._arrays("train")
        right, shares = test["labels"] == 1, self._shares(params, test["values"])
        rows = {"test": binary_scores(shares, right)}
        given = train["values"], train["labels"], test["values"]
        baselines = table_baselines(*given, self.features.classes)
        rows |= {name: binary_scores(own, right) for name, own in baselines.items()}
        tables = self._parts["train"], self._parts["test"]
        for name, chosen in subgroups(*tables, self._data.subgroups, self.features).items():
            rows[name] = binary_scores(shares[chosen], right[chosen])
        if self._account is not None:
            found = self._account(self.model(params), test, self.features.names)
            rows |= {row: dict(columns) for row, columns in found.items()}
        sizes = {
            row.removeprefix("column "): columns["importance"]
            for row, columns in rows.items()
            if "importance" in columns
        }
        drawn = {"the model": shares} | dict(list(baselines.items())[1:])
        save(table_figure(drawn, right, sizes), folder / PICTURE)
        return Evaluation(rows, figures=[folder / PICTURE])

    def read_input(self, text: str) -> np.ndarray:
        """Returns the row that a text such as "age=62, sex=female" stands for; what it lacks is missing.

        Raises:
          InputError: a part is no column=value, or the column or its value is none of the model's.
        """
        record = {}
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if not equals:
                raise InputError(f"{part.strip()!r}: expected column=value, as in {self.features.names[0]}=…")
            record[name.strip()] = value.strip()
        return self.features.of_record(record)

    def predict(self, params: Params, inputs: Sequence[np.ndarray]) -> list[Label]:
        """Returns the label of each row with its probability."""
        shares = self._shares(params, np.stack(inputs)).astype(float)
        return [Label.of_two(self.names, share) for share in shares.tolist()]

    def save(self, folder: Path) -> None:
        """Writes features.json: the columns with their classes, means and scales, and the labels."""
        record = {"features": self.features.dumped(), "labels": self.names}
        (folder / FEATURES).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @cached_property
    def validation(self) -> Arrays:
        """The rows of the validation part."""
        return self._arrays("validation")

    @cached_property
    def _parts(self) -> dict[str, Table]:
        return table_parts(self._data)

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self._arrays("train"), self._batch_size, self._data.seed)

    def _labels(self, part: str) -> np.ndarray:
        return (self._parts[part].columns[self._data.target] == self.names[1]).astype(np.int32)

    def _arrays(self, part: str) -> Arrays:
        return {"values": self.features.values(self._parts[part]), "labels": self._labels(part)}

    def _shares(self, params: Params, values: np.ndarray) -> Float[np.ndarray, " n"]:
        shares: np.ndarray = self.infer(_share, params, {"values": values})
        return shares


def _share(model: TableTransformer, arrays: Mapping[str, jax.Array]) -> Float[Array, " B"]:
    """Returns the probability of the second label."""
    logits = model(arrays["values"]).logits
    assert logits is not None
    return jax.nn.softmax(logits.astype(jnp.float32))[:, 1]
