"""Numbers of molecules by attention along their bonds, beside regressions on counts of atoms."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.data.molecules.chemistry import molecule_of
from attnjax.data.molecules.config import MoleculeData
from attnjax.data.molecules.files import MeasuredMolecules
from attnjax.data.molecules.molecule import BOND_FEATURES, FEATURES, Molecule, padded
from attnjax.data.molecules.packed import PackedBatches
from attnjax.data.molecules.parts import MoleculeParts, molecule_parts
from attnjax.data.pipeline import Batches
from attnjax.data.scikit_learn import has_boosting
from attnjax.mechanisms import read
from attnjax.models.graph import GraphModel
from attnjax.models.graph_config import POOLING, GraphConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.molecules.answer import MoleculeValue
from attnjax.tasks.molecules.baselines import BOOSTING, molecule_baselines
from attnjax.tasks.molecules.scores import deletion_score, values_score, without

PICTURE = "atoms.png"
VALUES = "values.json"
"""The file with the mean and the scale of training that a run keeps."""
LEFT_OUT = "left_out.txt"
"""The file with a line on each row that is in no part."""
NAMED = 10
"""Rows that are left out, of which the notes name so many."""
READ = ("atoms", "edges", "bonds", "lengths")
"""The arrays that a model is given."""
BLOCK = 16
"""The atoms of molecules that are asked for are padded to a multiple of this, so that few shapes compile."""
DRAWN = 6
"""Molecules of the picture."""
RANDOM_ORDERS = 5
"""Orders of atoms whose mean is the row of random order."""
Maps = Callable[[GraphModel, Arrays], Mapping[str, Float[np.ndarray, "n V"]]]
"""A function from the trained model and molecules to scores of the atoms, by the name of the method."""


class MoleculeTask(ModelTask[GraphModel]):
    """Trains a `GraphModel` to tell a number of a molecule, such as its solubility.

    The loss is the mean square error of the numbers, which training has with mean 0 and variance 1.

    Args:
      data: the molecules.
      model: the shape of the model; what it reads of atoms and bonds is that of the task.
      batch_size: of all hosts together.
      steps: of the training: the shape of its batches is the one that all of them need.
      accumulate: micro-batches of a batch.
      explained: molecules of the test from which atoms are taken out, for rows of the final table.
      folder: of a trained run, which has the mean and the scale itself.
      maps: further scores of atoms, for rows of the final table.

    Raises:
      InputError: the molecules cannot be used.
    """

    def __init__(
        self,
        data: MoleculeData,
        model: GraphConfig,
        *,
        batch_size: int,
        steps: int,
        accumulate: int = 1,
        explained: int = 64,
        folder: Path | None = None,
        maps: Maps | None = None,
    ) -> None:
        self._data, self._batch_size, self._explained, self._maps = data, batch_size, explained, maps
        self._steps, self._accumulate = steps, accumulate
        self.config = _of_molecules(model)
        if folder is not None and (folder / VALUES).is_file():
            record = json.loads((folder / VALUES).read_text(encoding="utf-8"))
            self.mean, self.scale = record["mean"], record["scale"]
        else:
            values = self._read.parts["train"].values
            self.mean, self.scale = float(values.mean()), float(values.std()) or 1.0

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The root mean square error."""
        return "rmse", "min"

    @property
    def notes(self) -> list[str]:
        """The number of molecules, the first rows that are left out, and a baseline that is not there."""
        found = self._read
        counts = ", ".join(f"{len(part)} for {name}" for name, part in found.parts.items())
        lines = [f"molecules: {counts}"]
        left_out = {"cannot be used": found.unusable, "are of a molecule of another part": found.repeated}
        for reason, own in left_out.items():
            if own:
                lines += [f"{len(own)} row(s) {reason} and are left out ({LEFT_OUT} has all):"]
                lines += [f"  {line}" for line in own[:NAMED]]
        if not has_boosting():
            lines.append(f"scikit-learn is not installed: the table has no row {BOOSTING!r}")
        return lines

    def build(self, rngs: nnx.Rngs) -> GraphModel:
        """Returns a model of atoms and bonds, which begins with the mean of training for all molecules."""
        model = GraphModel(self.config, rngs=rngs)
        # A sum of many atoms would begin far from the numbers, and train slowly.
        assert model.head is not None
        model.head.kernel[...] = jnp.zeros_like(model.head.kernel[...])
        return model

    def batch(self, step: int) -> Arrays:
        """Returns this host's arrays of a step, with standardised "values".

        Where the model looks along edges alone, several molecules share a row, as `PackedBatches` has them;
        otherwise they are those of `padded`.
        """
        return self._batches[step]

    def loss_of(
        self,
        model: GraphModel,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the mean square error of the standardised numbers."""
        loss = ((_value(model, batch, dropout) - batch["values"]) ** 2).mean()
        return loss, {"loss": loss, "weight": jnp.float32(batch["values"].size)}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the root mean square error and R² of the validation part."""
        scores = values_score(self.values(params, self.validation), self._read.parts["validation"].values)
        return {"rmse": scores["RMSE"], "r2": scores["R²"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of the test part, of baselines on it, and of orders in which atoms are taken out.

        The picture shows molecules of the test, from small to large errors.
        """
        test, train = self._arrays("test"), self._arrays("train")
        right, given = self._read.parts["test"].values, self.values(params, test)
        rows = {"test": values_score(given, right)}
        for name, own in molecule_baselines(train, self._read.parts["train"].values, test).items():
            rows[name] = values_score(own, right)
        if not self._explained:
            return Evaluation(rows)
        rows |= self._deletion(params, {name: array[: self._explained] for name, array in test.items()})
        return Evaluation(rows, figures=[self._picture(params, given, folder)])

    def values(self, params: Params, arrays: Arrays) -> Float[np.ndarray, " n"]:
        """Returns the number of each molecule, in the unit of training."""
        given = self.infer(_value, params, {name: arrays[name] for name in READ})
        found: np.ndarray = np.asarray(given, np.float64) * self.scale + self.mean
        return found

    def read_input(self, text: str) -> Molecule:
        """Returns the molecule of a SMILES.

        Raises:
          InputError: it is none, or RDKit cannot be imported.
        """
        return molecule_of(text.strip())

    def predict(self, params: Params, inputs: Sequence[Molecule]) -> list[MoleculeValue]:
        """Returns the number of each molecule, and what it loses without each atom."""
        blocks = -(-max(map(len, inputs)) // BLOCK) * BLOCK
        bonds = -(-max(len(molecule.bonds) for molecule in inputs) // BLOCK) * BLOCK
        arrays = padded(inputs, blocks, max(bonds, BLOCK))
        given, alone = self.values(params, arrays), self._alone(params, arrays)
        return [
            MoleculeValue(molecule, float(given[row]), tuple(alone[row, : len(molecule)].tolist()))
            for row, molecule in enumerate(inputs)
        ]

    def save(self, folder: Path) -> None:
        """Writes values.json, the mean and scale of training, and left_out.txt where rows are left out."""
        record = {"mean": self.mean, "scale": self.scale}
        (folder / VALUES).write_text(json.dumps(record) + "\n", encoding="utf-8")
        if lines := [*self._read.unusable, *self._read.repeated]:
            (folder / LEFT_OUT).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    @cached_property
    def validation(self) -> Arrays:
        """The molecules of the validation part."""
        return self._arrays("validation")

    @cached_property
    def _read(self) -> MoleculeParts:
        return molecule_parts(self._data)

    @cached_property
    def _batches(self) -> Batches | PackedBatches:
        train, seed = self._arrays("train"), self._data.seed
        if not _along_edges(self.config):
            return Batches(train, self._batch_size, seed)
        return PackedBatches(
            train, batch_size=self._batch_size, seed=seed, steps=self._steps, accumulate=self._accumulate
        )

    def _arrays(self, part: str) -> Arrays:
        measured: MeasuredMolecules = self._read.parts[part]
        values = ((measured.values - self.mean) / self.scale).astype(np.float32)
        return padded(measured.molecules) | {"values": values}

    def _alone(self, params: Params, arrays: Arrays) -> Float[np.ndarray, "n V"]:
        """Returns what each molecule loses when one atom is taken out; 0 for its only one."""
        whole = self.values(params, arrays)
        rows, atoms = arrays["atoms"].shape[:2]
        alone = np.zeros((rows, atoms))
        for atom in range(atoms):
            kept = np.broadcast_to(np.arange(atoms) != atom, (rows, atoms))
            alone[:, atom] = whole - self.values(params, without(arrays, kept))
        return np.where(arrays["lengths"][:, None] > 1, alone, 0)

    def _deletion(self, params: Params, arrays: Arrays) -> dict[str, dict[str, float]]:
        """Returns rows of orders of atoms: by what each alone takes away, by the maps, and random ones."""

        def predict(arrays: Arrays) -> Float[np.ndarray, " n"]:
            return self.values(params, arrays)

        maps = {"taking out each atom alone": self._alone(params, arrays)}
        if self._maps is not None:
            maps |= self._maps(self.model(params), {name: arrays[name] for name in READ})
        rows = {f"order by {name}": deletion_score(predict, arrays, own) for name, own in maps.items()}
        rng, shape = np.random.default_rng(self._data.seed), arrays["atoms"].shape[:2]
        drawn = [deletion_score(predict, arrays, rng.random(shape)) for _ in range(RANDOM_ORDERS)]
        rows["random order"] = {name: float(np.mean([own[name] for own in drawn])) for name in drawn[0]}
        return rows

    def _picture(self, params: Params, given: Float[np.ndarray, " n"], folder: Path) -> Path:
        from attnjax.tasks.molecules.picture import molecules_figure
        from attnjax.tasks.pictures import save

        test = self._read.parts["test"]
        order = np.argsort(np.abs(given - test.values), kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, min(DRAWN, len(order))).astype(int)]
        molecules = test.chosen(chosen).molecules
        scores = self._alone(params, padded(molecules))
        titles = [f"{given[row]:.2f}, measured {test.values[row]:.2f}" for row in chosen]
        own = [scores[row, : len(molecule)].tolist() for row, molecule in enumerate(molecules)]
        save(molecules_figure(molecules, own, titles), folder / PICTURE)
        return folder / PICTURE


def _of_molecules(model: GraphConfig) -> GraphConfig:
    """Returns the config with what atoms hold, and bonds, where each layer along edges has a place for it."""
    rows = [choice.row for choice in read(model.mechanism)]
    reads = all("edge_dim" in row.options for row in rows if row.takes == "graph")
    held = len(BOND_FEATURES) if reads else None
    return replace(model, node_features=len(FEATURES), edge_features=held, labels=1, head="graph")


def _along_edges(model: GraphConfig) -> bool:
    """Returns True if nodes see those alone from which an edge leads, whatever else stands in their row."""
    rows = [choice.row for choice in read(model.mechanism)]
    along = all(row.takes == "graph" and "edge_dim" in row.options for row in rows)
    return along and model.pooling in POOLING


def _value(
    model: GraphModel, arrays: Mapping[str, jax.Array], dropout: Dropout | None = None
) -> Float[Array, " *R G"]:
    """Returns the standardised number of each molecule, [B], or [R, G] of packed rows."""
    alone = "lengths" in arrays
    logits = model(
        arrays["atoms"],
        arrays["edges"],
        edge_features=None if model.config.edge_features is None else arrays["bonds"],
        lengths=arrays["lengths"] if alone else None,
        segments=None if alone else arrays["segments"],
        graphs=1 if alone else arrays["values"].shape[1],
        dropout=dropout,
    ).logits
    assert logits is not None
    return logits[..., 0].astype(jnp.float32)
