"""Atom mapping: reactions read by hand, a planted head that is found, and RXNMapper's own."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.explain import atoms
from attnjax.explain.atoms import Reaction, mapping_heads
from attnjax.pretrained import from_pretrained
from tests.pretrained.assets import asset

REACTIONS = (
    "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F",
    "C1COCCO1.CC(C)(C)OC(=O)CONC(=O)NCc1cccc2ccccc12.Cl>>O=C(O)CONC(=O)NCc1cccc2ccccc12",
    "CC(=O)O.NCc1ccccc1>>CC(=O)NCc1ccccc1",
    "Brc1ccccc1.OB(O)c1ccncc1>>c1ccc(-c2ccncc2)cc1",
)


def test_atoms_of_brackets_and_of_the_aromatic_ring_have_their_element() -> None:
    read = Reaction.read("[nH]1ccc[13CH2]1.[Na+].ClBr>>[Se]N")
    assert [x for x in read.elements if x] == ["N", "C", "C", "C", "C", "Na", "Cl", "Br", "Se", "N"]
    assert read.tokens[read.arrow] == ">>"
    for bad in ("CCO", "CC>>", "CC>>O>>N"):
        with pytest.raises(InputError, match="reaction"):
            Reaction.read(bad)


def test_a_map_counts_where_the_element_is_right_and_no_other_atom_goes_there() -> None:
    read = Reaction.read("CNO>>CNC")
    weights = np.zeros((9, 9))
    for after, before in ((5, 1), (6, 3), (7, 1)):
        weights[after, before] = 1
    assert read.mapped(weights) == {5: 1, 6: 3, 7: 1}
    assert read.score(weights) == 0  # Two carbons at one place, a nitrogen at an oxygen.
    weights[7] = np.eye(9)[2]
    assert read.score(weights) == pytest.approx(1 / 3)


def test_a_planted_head_is_found(monkeypatch) -> None:
    """Of six heads that look anywhere one looks from each atom to the one it came from."""
    read = Reaction.read("CO.N>>CON")
    rng = np.random.default_rng(0)
    maps = rng.dirichlet(np.ones(len(read.tokens)), (2, 1, 3, len(read.tokens)))
    maps[1, 0, 2, read.products] = np.eye(len(read.tokens))[read.reactants]
    monkeypatch.setattr(atoms, "attention_maps", lambda *_: maps)
    scores = mapping_heads(SimpleNamespace(), ["CO.N>>CON"], {})
    assert np.unravel_index(scores.argmax(), scores.shape) == (1, 2)
    assert scores[1, 2] == 1
    assert np.sort(scores.ravel())[-2] < 1


@pytest.mark.slow
def test_the_head_of_rxnmapper_is_found_by_elements() -> None:
    """Head 5 of the upper layers, which its authors chose, and none of another number comes near."""
    pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")  # The weights are a .bin.
    models = asset("rxnmapper==0.4.3") / "rxnmapper" / "models" / "transformers"
    folder = models / "albert_heads_8_uspto_all_1310k"
    vocab = {token: i for i, token in enumerate((folder / "vocab.txt").read_text().split())}
    model = from_pretrained(folder)
    scores = mapping_heads(model, REACTIONS, vocab)
    assert scores.shape == (12, 8)
    assert int(scores.max(0).argmax()) == 5
    assert scores[10, 5] > 0.9
    others = np.delete(scores, 5, axis=1)
    assert others.max() < scores[:, 5].max() - 0.1
    with pytest.raises(InputError, match=r"vocab: it lacks \[Zz]"):
        mapping_heads(model, ["[Zz]C>>C"], vocab)
    assert jnp.isfinite(scores).all()
