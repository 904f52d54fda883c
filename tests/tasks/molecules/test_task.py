"""The task of molecules: the loss, atoms that are taken out, that it learns what counts cannot tell."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.molecules import files
from attnjax.data.molecules.config import MoleculeData
from attnjax.data.molecules.molecule import Molecule, padded
from attnjax.data.pipeline import Batches
from attnjax.explain import ask, attribute
from attnjax.explain.of_molecule import atom_scores
from attnjax.models import GraphConfig, GraphModel
from attnjax.tasks.molecules import task as of_task
from attnjax.tasks.molecules.baselines import counted
from attnjax.tasks.molecules.scores import deletion_score, without
from attnjax.tasks.molecules.task import MoleculeTask
from tests.daily import daily

MODEL = GraphConfig(dim=16, heads=2, hidden=16, layers=2, pooling="sum")
VALENCE = {"C": 4, "O": 2}


def chain(text: str) -> Molecule:
    """The molecule of a SMILES with no sign but C and O, each of which holds the next: no RDKit is needed."""
    if set(text) - set(VALENCE):
        raise InputError(f"{text!r} is no SMILES")
    bonds = tuple((i, i + 1, "single", False) for i in range(len(text) - 1))
    ends = [(i > 0) + (i < len(text) - 1) for i in range(len(text))]
    hydrogens = tuple(VALENCE[s] - held for s, held in zip(text, ends, strict=True))
    return Molecule(text, tuple(text), bonds, hydrogens)


def peroxides(text: str) -> int:
    """The bonds between two O: counts of atoms and of bonds do not tell them."""
    return sum(a == b == "O" for a, b in itertools.pairwise(text))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rng = np.random.default_rng(0)
    texts = {"".join(rng.choice(["C", "O"], rng.integers(3, 9))) for _ in range(400)}
    file = tmp_path_factory.mktemp("molecules") / "own.csv"
    lines = [f"{text},{10 + 2 * peroxides(text)}" for text in sorted(texts)]
    file.write_text("\n".join(["smiles,value", *lines, "CX,1", "CCC,high"]))
    with pytest.MonkeyPatch.context() as patched:
        for module in (files, of_task):
            patched.setattr(module, "molecule_of", chain)
        data = MoleculeData(train=file, holdout=0.2, split="random")
        yield MoleculeTask(data, MODEL, batch_size=32, steps=250, explained=16)


@pytest.fixture(scope="module")
def trained(task: MoleculeTask) -> Any:
    params = jax.jit(task.init)(jax.random.key(0))
    optimizer = optax.adam(1e-2)

    @jax.jit
    def train(params: Any, state: Any, batch: Any) -> Any:
        gradient = jax.grad(lambda p: task.loss(p, batch, dropout=None)[0])(params)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, change), state

    state = optimizer.init(params)
    for step in range(250):
        params, state = train(params, state, task.batch(step))
    return params


def test_the_loss_is_of_standardised_numbers_and_padding_does_not_matter(
    task: MoleculeTask, trained: Any
) -> None:
    batch, alone = task.batch(3), Batches(task._arrays("train"), 32, seed=0)[3]
    np.testing.assert_array_equal(batch["atoms"], task.batch(3)["atoms"])
    loss = jax.jit(jax.value_and_grad(lambda p, b: task.loss(p, b, dropout=None), has_aux=True))
    (value, metrics), gradient = loss(trained, batch)
    given = (task.values(trained, alone) - task.mean) / task.scale
    np.testing.assert_allclose(value, np.mean((given - alone["values"]) ** 2), rtol=1e-4)
    assert metrics["weight"] == 32
    other = dict(batch, atoms=batch["atoms"].copy(), bonds=batch["bonds"].copy())
    other["atoms"][batch["segments"] == 0] = 7
    other["bonds"][batch["edges"][:, 0] < 0] = 7
    np.testing.assert_allclose(loss(trained, other)[0][0], value, rtol=1e-5)
    other["bonds"][0, 0] = 7
    assert abs(loss(trained, other)[0][0] - value) > 1e-3 * value
    # One molecule a row gives the same, as it does in validation.
    (value_alone, metrics), gradient_alone = loss(trained, alone)
    np.testing.assert_allclose(value_alone, value, rtol=1e-5)
    assert metrics["weight"] == 32
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient_alone, gradient
    )


def test_it_learns_what_counts_cannot_tell_and_says_which_atoms(
    task: MoleculeTask, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [(float(i), 0.5 * (i % 2)) for i in range(9)]
    picture = "attnjax.tasks.molecules.picture.places_of"
    monkeypatch.setattr(picture, lambda molecule: np.array(line[: len(molecule)]))
    table = task.evaluate(trained, tmp_path).metrics
    assert table["test"]["RMSE"] < 0.5 * table["ridge regression on counts"]["RMSE"]
    assert table["ridge regression on counts"]["RMSE"] < table["the mean of training"]["RMSE"]
    assert table["test"]["R²"] > 0.8
    assert abs(table["the mean of training"]["R²"]) < 0.1
    assert task.validate(trained)["r2"] > 0.8
    gaps = {row: columns["gap"] for row, columns in table.items() if "gap" in columns}
    assert set(gaps) == {"order by taking out each atom alone", "random order"}
    assert gaps["order by taking out each atom alone"] > gaps["random order"] + 1
    assert (tmp_path / "atoms.png").stat().st_size > 5000

    task.save(tmp_path)
    again = MoleculeTask(MoleculeData(train=tmp_path / "gone"), MODEL, batch_size=1, steps=1, folder=tmp_path)
    inputs = [again.read_input("COOC"), again.read_input("OCCCOCO")]
    answers = again.predict(trained, inputs)
    assert abs(answers[0].value - 12) < 1
    assert abs(answers[1].value - 10) < 1
    assert answers == task.predict(trained, inputs)
    assert answers[0].text == f"{answers[0].value:.3f}"
    lost = answers[0].lost
    assert len(lost) == 4
    assert min(lost[1:3]) > max(lost[0], lost[3])
    assert answers[0].picture().startswith("lost without the atom: C ")
    (drawn,) = answers[0].save(tmp_path)
    assert drawn.name == "COOC.molecule.png"
    assert answers[0].save(tmp_path, "{}-2".format)[0].name == "COOC-2.molecule.png"
    with pytest.raises(InputError, match="'N' is no SMILES"):
        again.read_input("N")


@pytest.mark.slow
def test_maps_of_atoms_order_them(task: MoleculeTask, trained: Any, tmp_path: Path, monkeypatch) -> None:
    own = MoleculeTask(task._data, MODEL, batch_size=32, steps=250, explained=16, maps=atom_scores)
    monkeypatch.setattr(own, "_picture", lambda *_: tmp_path)
    table = own.evaluate(trained, tmp_path).metrics
    assert "order by attention" in table
    assert table["order by integrated gradients"]["gap"] > table["random order"]["gap"] + 1


def test_what_is_left_out_is_counted_and_the_file_has_all(task: MoleculeTask, tmp_path: Path) -> None:
    notes = task.notes
    assert notes[1] == "2 row(s) cannot be used and are left out (left_out.txt has all):"
    assert notes[2].endswith("'CX' is no SMILES")
    assert notes[3].endswith("value is 'high': expected a number")
    task.save(tmp_path)
    lines = (tmp_path / "left_out.txt").read_text().splitlines()
    assert [f"  {line}" for line in lines] == notes[2:4]


@pytest.mark.slow
def test_integrated_gradients_of_atoms_are_complete(task: MoleculeTask, trained: Any) -> None:
    arrays = padded([chain("COOC"), chain("OCC")])
    given = {name: jnp.asarray(array) for name, array in arrays.items()}
    rest = {"edges": given["edges"], "edge_features": given["bonds"], "lengths": given["lengths"]}
    question = ask(task.model(trained), given["atoms"], **rest)
    start = jnp.broadcast_to(question.vectors()[:1, :1], question.vectors().shape)
    found = attribute("integrated_gradients", question, baseline=start, steps=64)
    whole = (task.values(trained, arrays) - task.mean) / task.scale
    np.testing.assert_allclose(question.value(), whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.error, 0, atol=0.02)
    # The first atom is the baseline itself, the last one of the second molecule padding.
    assert found.scores[0, 0] == found.scores[1, 3] == 0
    assert found.scores[0, 1] != 0
    with pytest.raises(InputError, match="method is 'rollout': the model pools by sum"):
        attribute("rollout", question)
    config = GraphConfig(dim=8, heads=2, layers=1, node_features=3, labels=1, mechanism="gat")
    of_edges = ask(GraphModel(config, rngs=nnx.Rngs(0)), jnp.ones((1, 3, 3)), edges=jnp.array([[[0], [1]]]))
    with pytest.raises(InputError, match=r"weights of pairs of tokens, blocks\.0\.attention has some of"):
        attribute("raw", of_edges)


def test_taking_out_atoms_gives_the_molecule_that_is_left() -> None:
    arrays = padded([chain("COCC"), chain("OO")])
    kept = np.array([[False, True, True, True], [True, True, False, False]])
    found = without(arrays, kept)
    expected = padded([chain("OCC"), chain("OO")], atoms=4, bonds=3)
    # What an atom holds stays: the first O still has two bonds.
    np.testing.assert_array_equal(found["atoms"][0, :3], arrays["atoms"][0, 1:])
    assert not found["atoms"][0, 3].any()
    np.testing.assert_array_equal(found["atoms"][1], expected["atoms"][1])
    assert found["lengths"].tolist() == [3, 2]
    edges = [{tuple(edge) for edge in row.T.tolist() if edge[0] >= 0} for row in found["edges"]]
    assert edges == [{(0, 1), (1, 0), (1, 2), (2, 1)}, {(0, 1), (1, 0)}]
    np.testing.assert_array_equal((found["edges"] < 0).all(1), ~found["bonds"].any(-1))


def test_the_score_of_an_order_by_hand() -> None:
    """The number is the sum of 1, 2 and -4 of three atoms, 5 and 1 of two, and 9 of one."""
    worth = np.array([[1.0, 2.0, -4.0], [5.0, 1.0, 0.0], [9.0, 0.0, 0.0]])
    none = [[-1] * 4] * 2
    arrays = {
        "atoms": worth[..., None],
        "edges": np.array([[[0, 1, 1, 2], [1, 0, 2, 1]], [[0, 1, -1, -1], [1, 0, -1, -1]], none]),
        "bonds": np.ones((3, 4, 1)),
        "lengths": np.array([3, 2, 1]),
    }
    found = deletion_score(lambda given: given["atoms"].sum((1, 2)), arrays, worth)
    # 2 is lost, then 2 + 1; from the other side -4, then -4 + 1. Of the second molecule 5, or 1.
    assert found == {"falls": (2.5 + 5) / 2, "rises": (3.5 - 1) / 2, "gap": (6 + 4) / 2}
    flipped = deletion_score(lambda given: given["atoms"].sum((1, 2)), arrays, -worth)
    assert flipped["gap"] == -5
    assert counted(arrays)[0].tolist() == [-1, 2, 3]


@pytest.mark.parametrize("mechanism", daily(["graphormer", "window(size=1)"], ["graphormer"]))
def test_mechanisms_without_edges_read_no_bonds(task: MoleculeTask, mechanism: str) -> None:
    from dataclasses import replace

    config = replace(MODEL, mechanism=mechanism, layers=1)
    other = MoleculeTask(task._data, config, batch_size=4, steps=1, maps=atom_scores)
    assert "segments" not in other.batch(0)  # Such a molecule stands alone.
    assert (other.config.edge_features is None) == (mechanism == "graphormer")
    params = jax.jit(other.init)(jax.random.key(0))
    assert set(atom_scores(other.model(params), padded([chain("COC")]))) == {"integrated gradients"}
    assert np.isfinite(other.values(params, padded([chain("COC"), chain("O")]))).all()
