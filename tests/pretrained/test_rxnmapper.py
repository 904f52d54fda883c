"""Real weights of an encoder: RXNMapper's ALBERT, whose attention says which atom came from where."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.tensors import open_tensors
from attnjax.pretrained.verify import first_of, verify
from tests.pretrained.assets import asset

pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")  # The weights are a .bin.

TOKEN = re.compile(r"\[[^]]+]|Br|Cl|>>|.")
REACTION = "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F"
# The atoms of isopropylthiol, then those of difluoropyridine from the carbon beside its nitrogen on.
ORIGINS = [0, 1, 2, 3, 15, 14, 13, 12, 11, 10, 9]
LAYER, HEAD = 10, 5


@pytest.fixture
def folder() -> Path:
    models = asset("rxnmapper==0.4.3") / "rxnmapper" / "models" / "transformers"
    return models / "albert_heads_8_uspto_all_1310k"


@pytest.mark.slow
def test_it_fills_in_masked_tokens_and_maps_atoms(folder) -> None:
    model = from_pretrained(folder)
    numbers = {token: i for i, token in enumerate((folder / "vocab.txt").read_text().split())}
    tokens = ["[CLS]", *TOKEN.findall(REACTION), "[SEP]"]
    ids = np.array([numbers[token] for token in tokens])
    inner = np.arange(1, len(ids) - 1)
    rows = np.tile(ids, (len(ids) - 1, 1))  # The first row has no mask.
    rows[inner, inner] = numbers["[MASK]"]
    graph, state = nnx.split(model)
    capture = Capture(layers=(LAYER,), heads=(HEAD,))
    run = jax.jit(lambda state, rows: nnx.merge(graph, state)(rows, capture=capture))
    out = run(state, jnp.asarray(rows))
    found = np.asarray(out.logits)[inner, inner].argmax(-1)
    assert (found == ids[inner]).mean() > 0.95
    atoms = [i for i, token in enumerate(tokens) if re.match(r"\w|\[[A-Z][a-z+-]?[+-]?]$", token)]
    atoms = [i for i in atoms if not tokens[i].isdigit()]
    arrow = tokens.index(">>")
    before, after = ([i for i in atoms if side(i)] for side in (arrow.__gt__, arrow.__lt__))
    weights = np.asarray(out.weights[f"blocks.{LAYER}.attention"])[0, 0]
    assert weights[np.ix_(after, before)].argmax(1).tolist() == ORIGINS


def test_it_is_what_transformers_reads_and_is_saved_bit_for_bit(folder, tmp_path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")
    assert first_of(verify(folder)) is None
    save_pretrained(from_pretrained(folder), tmp_path / "saved")
    before, after = open_tensors(folder), open_tensors(tmp_path / "saved")
    assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in after.items()}
