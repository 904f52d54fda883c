"""The changes of logits against transformers' processors."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.models.decoding import logits as change

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")


def drawn() -> np.ndarray:
    """Flat rows, steep ones, and one in which a single token has all."""
    spread = np.array([0.1, 1.0, 3.0, 10.0, 300.0])[:, None]
    return (np.random.default_rng(0).normal(size=(5, 101)) * spread).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs", "number"),
    [
        (change.temperature, "TemperatureLogitsWarper", 0.7),
        *((change.top_k, "TopKLogitsWarper", k) for k in (1, 7, 200)),
        *((change.top_p, "TopPLogitsWarper", p) for p in (1e-6, 0.3, 0.9, 0.999, 1.0)),
        *((change.min_p, "MinPLogitsWarper", p) for p in (0.0, 0.05, 0.5, 1.0)),
    ],
)
def test_changes_are_those_of_transformers(ours: Any, theirs: str, number: Any) -> None:
    logits = drawn()
    expected = getattr(transformers, theirs)(number)(None, torch.tensor(logits)).numpy()
    given = np.asarray(ours(jnp.asarray(logits), number))
    np.testing.assert_array_equal(np.isfinite(given), np.isfinite(expected))
    np.testing.assert_allclose(given, expected, rtol=1e-6)


def test_the_penalty_is_that_of_transformers() -> None:
    logits = drawn()
    tokens = np.random.default_rng(1).integers(0, 101, (5, 40))
    processor = transformers.RepetitionPenaltyLogitsProcessor(1.7)
    expected = processor(torch.tensor(tokens), torch.tensor(logits)).numpy()
    seen = (tokens[:, :, None] == np.arange(101)).any(1)
    given = change.repetition_penalty(jnp.asarray(logits), jnp.asarray(seen), 1.7)
    np.testing.assert_allclose(given, expected, rtol=1e-6)
