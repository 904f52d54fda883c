"""Labels of persons by attention over their events, beside simpler models, for all and by subgroup."""

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

from attnjax.config import require
from attnjax.data.pipeline import Batches
from attnjax.data.scikit_learn import has_boosting
from attnjax.data.series.cohort import Cohort
from attnjax.data.series.config import SeriesData
from attnjax.data.series.features import SeriesFeatures, counted
from attnjax.data.series.parts import SeriesParts, series_parts
from attnjax.data.series.planted import best_shares
from attnjax.models.events import EventTransformer
from attnjax.models.events_config import EventsConfig
from attnjax.models.output import EncoderOutput
from attnjax.nn import Capture
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.losses import of_labels
from attnjax.tasks.metrics.binary import binary_scores
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.patients.early import early_rows
from attnjax.tasks.patients.recurrent import READ, recurrent_shares
from attnjax.tasks.tables.baselines import BOOSTING, table_baselines
from attnjax.tasks.tables.subgroups import subgroups
from attnjax.tasks.texts.label import Label

PICTURE = "patients.png"
FEATURES = "features.json"
"""The file with the signs, columns and labels that a run keeps."""
GRU_ROW, BEST_ROW = "GRU without attention", "best possible (the rules are known)"
Account = Callable[[EventTransformer, Arrays, Cohort], Mapping[str, dict[str, float]]]
"""A function from the trained model and the test persons to further rows of the table."""


class PatientTask(ModelTask[EventTransformer]):
    """Trains an `EventTransformer` to tell what comes after a landmark from the events before it.

    Args:
      data: the persons.
      model: the shape of the model; its labels are those of the task.
      batch_size: of all hosts together.
      folder: of a trained run, which has its signs, columns and labels itself.
      account: adds rows to the final table, such as what points at the drift.
      recurrent_steps: of the GRU that is trained beside the final table; 0: there is none.

    Raises:
      InputError: the persons cannot be used.
    """

    def __init__(
        self,
        data: SeriesData,
        model: EventsConfig,
        *,
        batch_size: int,
        folder: Path | None = None,
        account: Account | None = None,
        recurrent_steps: int = 0,
    ) -> None:
        require(model.labels == 2, f"model.labels is {model.labels}: data.event has 2 values")
        self._data, self.config, self._batch_size, self._account = data, model, batch_size, account
        self._recurrent_steps = recurrent_steps
        if folder is not None and (folder / FEATURES).is_file():
            record = json.loads((folder / FEATURES).read_text(encoding="utf-8"))
            self.features = SeriesFeatures.loaded(record["features"])
            self.names: tuple[str, str] = (record["labels"][0], record["labels"][1])
        else:
            self.features = SeriesFeatures.of(self._cohorts["train"], data)
            self.names = self._parts.labels

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The area under the receiver operating characteristic."""
        return "auroc", "max"

    @property
    def notes(self) -> list[str]:
        """The number of persons and events, who is left out and why, and a baseline that is not there."""
        own = self._cohorts.items()
        counts = ", ".join(f"{len(part)} for {name}" for name, part in own)
        shares = ", ".join(f"{100 * part.labels.mean():.1f} %" for _, part in own)
        events = int(np.median(self._cohorts["train"].present.sum(1)))
        lines = [f"persons: {counts}; {self.names[1]!r} is the label of {shares}"]
        columns = ", ".join(self.features.persons.names) or "none"
        lines.append(f"signs: {', '.join(self.features.signs)}; further columns: {columns}")
        lines.append(f"events of a person: {events} (median), the last {self._data.max_events} at most")
        lines += self._parts.notes
        if not has_boosting():
            lines.append(f"scikit-learn is not installed: the table has no row {BOOSTING!r}")
        return lines

    def build(self, rngs: nnx.Rngs) -> EventTransformer:
        """Returns a model of the signs and the columns."""
        return EventTransformer(
            self.config, len(self.features.signs), self.features.persons.classes, rngs=rngs
        )

    def batch(self, step: int) -> Arrays:
        """Returns this host's "times", "signs", "values", "present", "persons" and "labels" of a step."""
        return self._batches[step]

    def loss_of(
        self,
        model: EventTransformer,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the cross-entropy of the labels."""
        return of_labels(logits_of(model, batch, dropout), batch["labels"])

    def validate(self, params: Params) -> dict[str, float]:
        """Returns AUROC and Brier score of the validation part."""
        scores = binary_scores(self._shares(params, self.validation), self.validation["labels"] == 1)
        return {"auroc": scores["AUROC"], "brier": scores["Brier"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of the test, of baselines, by subgroup, and of planted persons how early."""
        from attnjax.tasks.patients.picture import patients_figure
        from attnjax.tasks.pictures import save

        cohort, test = self._cohorts["test"], self._arrays("test")
        right, shares = cohort.labels == 1, self._shares(params, test)
        simpler = self._simpler(test)
        rows = {"test": binary_scores(shares, right)}
        rows |= {name: binary_scores(own, right) for name, own in simpler.items()}
        train = self._cohorts["train"].table
        groups = subgroups(train, cohort.table, self._data.subgroups, self.features.persons)
        for name, chosen in groups.items():
            rows[name] = binary_scores(shares[chosen], right[chosen])
        if cohort.truth is not None:
            rows |= early_rows(
                cohort, self._data.drift, lambda own: self._shares(params, self.features.arrays(own))
            )
        if self._account is not None:
            rows |= self._account(self.model(params), test, cohort)
        drawn = {"the model": shares} | {
            name: own for name, own in simpler.items() if name != "share of the label"
        }
        weights = self._weights(params, test) if self._has_weights else None
        save(patients_figure(cohort, shares, drawn, weights), folder / PICTURE)
        return Evaluation(rows, figures=[folder / PICTURE])

    def read_input(self, text: str) -> Arrays:
        """Returns the person that a text such as "-30 pulse 80, -2 pulse 95; age=62" stands for.

        Raises:
          InputError: an event is not time, sign and value, or a sign or column is none of the model's.
        """
        return self.features.of_text(text)

    def predict(self, params: Params, inputs: Sequence[Arrays]) -> list[Label]:
        """Returns the label of each person with its probability."""
        width = 1 << (max(len(own["times"]) for own in inputs) - 1).bit_length()
        rows: Arrays = {"persons": np.stack([own["persons"] for own in inputs])}
        for name in ("times", "signs", "values", "present"):
            arrays = [own[name] for own in inputs]
            rows[name] = np.stack([np.pad(array, (0, width - len(array))) for array in arrays])
        shares = self._shares(params, rows).astype(float)
        return [Label.of_two(self.names, share) for share in shares.tolist()]

    def save(self, folder: Path) -> None:
        """Writes features.json: signs and columns with means and scales, and the labels."""
        record = {"features": self.features.dumped(), "labels": self.names}
        (folder / FEATURES).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @cached_property
    def validation(self) -> Arrays:
        """The persons of the validation part."""
        return self._arrays("validation")

    @cached_property
    def _parts(self) -> SeriesParts:
        return series_parts(self._data)

    @property
    def _cohorts(self) -> dict[str, Cohort]:
        return self._parts.cohorts

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self._arrays("train"), self._batch_size, self._data.seed)

    def _arrays(self, part: str) -> Arrays:
        return self.features.arrays(self._cohorts[part])

    def _shares(self, params: Params, arrays: Arrays) -> Float[np.ndarray, " n"]:
        shares: np.ndarray = self.infer(_share, params, {name: arrays[name] for name in READ})
        return shares

    def _simpler(self, test: Arrays) -> dict[str, np.ndarray]:
        """Returns the probabilities of models without attention, and of the rules where they are known."""
        train = self._arrays("train")
        signs, persons = self.features.signs, self.features.persons.classes
        columns = counted(train, signs), train["labels"], counted(test, signs)
        # A sign without values, such as a diagnosis, has no last one and no mean.
        empty = np.isnan(columns[0]).all(0)
        for array in (columns[0], columns[2]):
            array[:, empty] = 0
        found = table_baselines(*columns, (0,) * (columns[0].shape[1] - len(persons)) + tuple(persons))
        if self._recurrent_steps:
            parts = {"train": train, "validation": self.validation, "test": test}
            found[GRU_ROW] = recurrent_shares(
                self.config, len(signs), persons, parts,
                steps=self._recurrent_steps, batch_size=self._batch_size,
            )  # fmt: skip
        cohort = self._cohorts["test"]
        if cohort.truth is not None:
            found[BEST_ROW] = best_shares(cohort, self._data.drift)
        return found

    @property
    def _has_weights(self) -> bool:
        return self.config.mechanism == "softmax"

    def _weights(self, params: Params, arrays: Arrays) -> np.ndarray:
        """Returns the weights that the class token gives to events [n, T], the mean of layers and heads."""
        found: np.ndarray = self.infer(_attended, params, {name: arrays[name] for name in READ})
        return found


def output_of(
    model: EventTransformer,
    arrays: Mapping[str, jax.Array],
    dropout: Dropout | None = None,
    capture: Capture | None = None,
) -> EncoderOutput:
    """Returns what the model gives for persons."""
    own = {name: arrays[name] for name in ("persons", "present")}
    events = (arrays[name] for name in ("times", "signs", "values"))
    return model(*events, **own, dropout=dropout, capture=capture)


def logits_of(
    model: EventTransformer, arrays: Mapping[str, jax.Array], dropout: Dropout | None = None
) -> Float[Array, "B 2"]:
    """Returns the logits of persons."""
    logits = output_of(model, arrays, dropout).logits
    assert logits is not None
    return logits


def _share(model: EventTransformer, arrays: Mapping[str, jax.Array]) -> Float[Array, " B"]:
    """Returns the probability of the second label."""
    return jax.nn.softmax(logits_of(model, arrays).astype(jnp.float32))[:, 1]


def _attended(model: EventTransformer, arrays: Mapping[str, jax.Array]) -> Float[Array, "B T"]:
    found = output_of(model, arrays, capture=Capture()).weights
    layers = [found[f"blocks.{i}.attention"][:, :, 0].mean(1) for i in range(model.config.layers)]
    return jnp.stack(layers).mean(0)[:, 1 + model.columns :]
