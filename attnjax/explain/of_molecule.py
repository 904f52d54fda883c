"""Scores of the atoms of molecules: what they add to a number, and the attention that they get."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attnjax.explain.attributions import attribute
from attnjax.explain.question import ask
from attnjax.models.graph import GraphModel
from attnjax.nn import Capture

STEPS = 16
"""Points on the line of integrated gradients."""


def atom_scores(model: GraphModel, arrays: Mapping[str, np.ndarray]) -> dict[str, Float[np.ndarray, "n V"]]:
    """Returns scores of atoms by method.

    "integrated gradients" says what each atom adds to the number in the place of the mean atom of these
    molecules. (From vectors of 0 on, a norm of layers would jump, and the scores would not add up.)
    "attention", of models with weights of edges, is the sum of the weights with which other atoms read an
    atom, the mean over heads and layers.

    Args:
      model: of one number.
      arrays: "atoms", "edges", "bonds" and "lengths", as `padded` of `attnjax.data.molecules` gives them.

    Example:
      >>> from flax import nnx
      >>> from attnjax.models import GraphConfig
      >>> config = GraphConfig(dim=8, heads=2, node_features=3, edge_features=1, labels=1, mechanism="gat")
      >>> edges = np.array([[[0, 1], [1, 0]]])
      >>> arrays = {"atoms": np.ones((1, 3, 3)), "edges": edges, "bonds": np.ones((1, 2, 1))}
      >>> found = atom_scores(GraphModel(config, rngs=nnx.Rngs(0)), arrays | {"lengths": np.array([2])})
      >>> found["attention"].tolist()  # The only neighbour has all the weight; the third atom is padding.
      [[1.0, 1.0, 0.0]]
    """
    given = {name: jnp.asarray(array) for name, array in arrays.items()}
    edges, atoms = given["edges"], given["atoms"].shape[1]
    held: dict[str, Any] = {} if model.config.edge_features is None else {"edge_features": given["bonds"]}
    question = ask(model, given["atoms"], edges=edges, lengths=given["lengths"], **held)
    vectors, present = question.vectors(), question.present[..., None]
    mean = jnp.where(present, vectors, 0).sum((0, 1)) / present.sum()
    start = jnp.broadcast_to(mean, vectors.shape)
    scores = attribute("integrated_gradients", question, baseline=start, steps=STEPS).scores
    found = {"integrated gradients": np.asarray(scores)}
    options: dict[str, Any] = dict(question.options)
    weights = model(*question.inputs, **options, capture=Capture()).weights
    of_edges = [w.mean(1) for w in weights.values() if w.ndim == 3]
    if of_edges:
        sources = jnp.where(edges[:, 0] >= 0, edges[:, 0], atoms)
        rows = jnp.arange(len(sources))[:, None]
        total = jnp.zeros((len(sources), atoms + 1)).at[rows, sources].add(sum(of_edges) / len(of_edges))
        found["attention"] = np.asarray(total[:, :-1])
    return found
