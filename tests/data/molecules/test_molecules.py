"""Molecules: what a model reads of them by hand, parts, and one line with file and row for each bad input."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.molecules.config import MoleculeData
from attnjax.data.molecules.files import read_measured
from attnjax.data.molecules.molecule import BOND_FEATURES, FEATURES, Molecule, padded
from attnjax.data.molecules.parts import PARTS, molecule_parts

ACETATE = Molecule(
    "CC(=O)[O-]",
    ("C", "C", "O", "O"),
    ((0, 1, "single", False), (1, 2, "double", False), (1, 3, "single", False)),
    (3, 0, 0, 0),
    (0, 0, 0, -1),
)
FURANS = [f"{'C' * size}c1ccco1" for size in range(1, 21)]
ALCOHOLS = [f"{'C' * size}O" for size in range(1, 21)]


def own(folder: Path, rows: list[str], head: str = "smiles,value", name: str = "own.csv") -> Path:
    (folder / name).write_text("\n".join([head, *rows]))
    return folder / name


def test_features_of_atoms_and_bonds_by_hand() -> None:
    named = [
        {FEATURES[i]: value for i, value in enumerate(row) if value}
        for row in ACETATE.atom_features().tolist()
    ]
    assert named[0] == {"element C": 1, "1 bonds": 1, "3 hydrogen": 1}
    assert named[1] == {"element C": 1, "3 bonds": 1, "0 hydrogen": 1}
    assert named[3] == {"element O": 1, "1 bonds": 1, "0 hydrogen": 1, "charge": -1}
    tin = Molecule("[SnH4]", ("Sn",), (), (4,))
    arrays = padded([tin, ACETATE], atoms=5, bonds=4)
    assert arrays["atoms"].shape == (2, 5, len(FEATURES))
    row = arrays["atoms"][0, 0]
    assert {FEATURES[i] for i in np.flatnonzero(row)} == {"element other", "0 bonds", "3 hydrogen"}
    assert not arrays["atoms"][0, 1:].any()
    assert (arrays["edges"][0] == -1).all()
    assert arrays["edges"][1, :, :6].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1], [1, 3], [3, 1]]
    assert (arrays["edges"][1, :, 6:] == -1).all()
    kinds = [[BOND_FEATURES[i] for i in np.flatnonzero(bond)] for bond in arrays["bonds"][1]]
    assert kinds == [["single"]] * 2 + [["double"]] * 2 + [["single"]] * 2 + [[]] * 2
    assert arrays["lengths"].tolist() == [1, 4]


def test_a_smiles_is_read_with_rings_charges_and_hydrogen() -> None:
    pytest.importorskip("rdkit")
    from attnjax.data.molecules.chemistry import molecule_of, places_of

    found = molecule_of("CC(=O)[O-]")
    assert found == Molecule(**{**vars(ACETATE), "identity": "CC(=O)[O-]"})
    furan = molecule_of("Cc1ccco1")
    assert furan.symbols == ("C", "C", "C", "C", "C", "O")
    assert [bond[2:] for bond in furan.bonds] == [("single", False)] + [("aromatic", True)] * 5
    assert furan.scaffold == "c1ccoc1"
    assert furan.identity == molecule_of("o1c(C)ccc1").identity
    places = places_of(furan)
    assert places.shape == (6, 2)
    lengths = [np.linalg.norm(places[a] - places[b]) for a, b, *_ in furan.bonds]
    assert min(lengths) > 0.8 * max(lengths)


def test_rows_that_cannot_be_used_are_counted_and_named(tmp_path: Path, capfd: Any) -> None:
    pytest.importorskip("rdkit")
    rows = ["CCO,1.5", "C1CC,2", "CC(C)(C)(C)C,3", ",4", "CO,many", "CCCCCC,5", "CN,inf", "CC,-2"]
    data = MoleculeData(train=own(tmp_path, rows), most_atoms=5)
    assert data.train is not None
    measured, left_out = read_measured(data.train, data)
    assert [molecule.smiles for molecule in measured.molecules] == ["CCO", "CC"]
    assert measured.values.tolist() == [1.5, -2]
    assert measured.places == [f"{data.train}:2", f"{data.train}:9"]
    reasons = [line.removeprefix(f"{data.train}:") for line in left_out]
    assert reasons == [
        "3: 'C1CC' is no SMILES",
        "4: 'CC(C)(C)(C)C': Explicit valence for atom # 1 C, 5, is greater than permitted",
        "5: the column 'smiles' is empty",
        "6: value is 'many': expected a number",
        "7: 'CCCCCC' has 6 atoms, data.most_atoms is 5",
        "8: value is 'inf': expected a number",
    ]
    assert capfd.readouterr().err == ""


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    cases = {
        "wrong.csv": (["CC,1"], "SMILES,value", "1: there is no column 'smiles', which data.smiles names"),
        "other.csv": (["CC,1"], "smiles,volume", "1: there is no column 'value', which data.value names"),
        "none.csv": (["C1,1", "x,2"], "smiles,value", "no row can be used: "),
        "own.txt": (["CC,1"], "smiles,value", "expected a name that ends in .csv, .parquet or .sdf"),
        "broken.sdf": (["CC,1"], "", "no row can be used"),
    }
    for name, (rows, head, message) in cases.items():
        file = own(tmp_path, rows, head, name)
        with pytest.raises(InputError) as caught:
            read_measured(file, MoleculeData(train=file))
        assert message in str(caught.value)
        assert str(file) in str(caught.value)
    with pytest.raises(InputError, match=r"missing\.sdf: cannot be read"):
        read_measured(tmp_path / "missing.sdf", MoleculeData())
    with pytest.raises(InputError, match=r"data\.train is None"):
        molecule_parts(MoleculeData())


def test_an_sd_file_gives_the_structure_and_a_property(tmp_path: Path, capfd: Any) -> None:
    Chem = pytest.importorskip("rdkit.Chem")
    blocks = [Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) for smiles in ("CCO", "c1ccccc1", "CC")]
    blocks[1] = blocks[1].replace("  1  2  ", "  1 99  ")
    texts = [f"{block}>  <SOL>\n{i}.5\n\n$$$$\n" for i, block in enumerate(blocks[:2])]
    texts.append(f"{blocks[2]}$$$$\n")
    (tmp_path / "own.sdf").write_text("".join(texts))
    measured, left_out = read_measured(tmp_path / "own.sdf", MoleculeData(value="SOL"))
    assert [molecule.identity for molecule in measured.molecules] == ["CCO"]
    assert measured.values.tolist() == [0.5]
    assert [line.partition(".sdf: ")[2] for line in left_out] == [
        "molecule 2: a broken molecule",
        "molecule 3: SOL is '': expected a number",
    ]
    assert capfd.readouterr().err == ""


def test_without_rdkit_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "rdkit":
            raise ImportError("No module named 'rdkit'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("own.csv", "own.sdf"):
        with pytest.raises(InputError) as caught:
            molecule_parts(MoleculeData(train=own(tmp_path, ["CC,1"], name=name)))
        assert "pip install 'attnjax[molecules]'" in str(caught.value)
        assert str(caught.value).startswith("SMILES and SD files are read through RDKit")


@pytest.mark.parametrize("split", ["scaffold", "random"])
def test_no_molecule_and_no_scaffold_is_in_two_parts(tmp_path: Path, split: Any) -> None:
    pytest.importorskip("rdkit")
    rings = ["c1ccncc1", "C1CCCC1", "C1CCOC1", "c1ccsc1"]
    rows = [f"{smiles},{i}" for i, smiles in enumerate([*FURANS, *ALCOHOLS, *rings, "OCC"])]
    data = MoleculeData(train=own(tmp_path, rows), holdout=0.2, split=split, most_atoms=30)
    found = molecule_parts(data)
    assert not found.unusable
    assert sum(map(len, found.parts.values())) == len(rows)
    assert len(found.parts["test"]) == len(found.parts["validation"]) == 9
    identities = [{m.identity for m in found.parts[part].molecules} for part in PARTS]
    # Ethanol stands there twice.
    assert len(set.union(*identities)) == sum(map(len, identities)) == len(rows) - 1
    furans = [sum(m.scaffold == "c1ccoc1" for m in found.parts[part].molecules) for part in PARTS]
    if split == "scaffold":
        assert furans == [20, 0, 0]
    else:
        assert min(furans) > 0


def test_a_molecule_of_the_test_is_left_out_of_training(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    train = own(tmp_path, [f"{smiles},1" for smiles in ALCOHOLS], name="train.csv")
    test = own(tmp_path, ["OC,1", "C1CC,1"], name="test.csv")
    found = molecule_parts(MoleculeData(train=train, test=test))
    assert [line.removeprefix(f"{tmp_path}/") for line in found.repeated] == [
        "train.csv:2: 'CO' is in data.test too"
    ]
    assert found.unusable == [f"{test}:3: 'C1CC' is no SMILES"]
    assert {part: len(own) for part, own in found.parts.items()} == {"train": 16, "validation": 3, "test": 1}


def test_a_part_without_molecules_says_what_was_lost(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    train = own(tmp_path, ["C1CC,1", "CO,1"])
    with pytest.raises(
        InputError, match=r"has no molecule: expected more .*; 1 row.* the first: .*:2: 'C1CC' is no"
    ):
        molecule_parts(MoleculeData(train=train))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"holdout": 0.5}, "data.holdout is 0.5"),
        ({"value": ""}, "data.value is ''"),
        ({"most_atoms": 0}, "most_atoms is 0"),
    ],
)
def test_bad_settings_are_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        MoleculeData(**fields)
    assert message in str(caught.value)
