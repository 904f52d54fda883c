"""Several pairs in one row: the loss of pairs in rows of their own, and nothing of one pair in another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.data.text.packed_pairs import PackedPairs
from attnjax.data.text.rows import Rows
from attnjax.data.text.token_store import MemoryStore
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models import Transformer, TransformerConfig
from attnjax.models.padding import key_mask
from attnjax.tasks.translation.config import TranslationLoss
from attnjax.tasks.translation.losses import translation_loss
from tests.daily import daily

VOCAB, WIDTH = 13, 16
SIZES = {"dim": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "max_length": WIDTH}
DOUBLE = {"dtype": "float64", "param_dtype": "float64"}
CONFIGS: dict[str, dict[str, Any]] = {
    "sinusoidal": {"positions": "sinusoidal", "implementation": "reference"},
    "learned, copy": {"positions": "learned", "copy": True},
    "rope": {"positions": "rope"},
    "t5": {"positions": "t5", "scan_layers": True, "encoder_layers": 2, "decoder_layers": 2},
}


def pairs() -> dict[str, np.ndarray]:
    """Nine pairs of 1 to 6 tokens, each in a row of its own."""
    draw = np.random.default_rng(0)
    sources, targets = ([draw.integers(4, VOCAB, n).tolist() for n in draw.integers(1, 7, 9)] for _ in "st")
    lengths = np.array([len(text) for text in sources], np.int32)
    target = Rows.of(targets).between(BOS, EOS).padded(8, PAD)
    return {"source": Rows.of(sources).padded(8, PAD), "source_lengths": lengths, "target": target}


def packed() -> dict[str, np.ndarray]:
    arrays = pairs()
    found = PackedPairs(MemoryStore(arrays, np.zeros(9, int)), WIDTH, seed=0, batch_size=2)
    return found.chosen(np.arange(found.rows))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", daily(CONFIGS, ["learned, copy", "t5"]))
def test_the_loss_and_its_gradient_are_those_of_pairs_in_rows_of_their_own(name: str) -> None:
    config = TransformerConfig(**{**SIZES, **DOUBLE, **CONFIGS[name]})
    model = Transformer(config, source_vocab=VOCAB, target_vocab=VOCAB, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(model, nnx.Param)
    loss = TranslationLoss(label_smoothing=0.1, lambda_coverage=0.0 if config.scan_layers else 0.5)

    def of(batch: Any) -> Any:
        def value(params: Any) -> Any:
            made = nnx.merge(graphdef, params)
            return translation_loss(made, batch, loss, label_smoothing=0.1, dropout=None)[0]

        return jax.jit(jax.value_and_grad(value))(params)

    (alone, slope), (together, its) = of(pairs()), of(packed())
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    for one, other in zip(jax.tree.leaves(slope), jax.tree.leaves(its), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)
    assert len(packed()["source"]) < 5


@pytest.mark.parametrize("broken", [None, "source", "target"])
def test_nothing_of_one_pair_reaches_another(broken: str | None) -> None:
    """And what does, where one side is taken for a single text, is seen."""
    model = Transformer(TransformerConfig(**SIZES), source_vocab=VOCAB, target_vocab=VOCAB, rngs=nnx.Rngs(0))
    rows = packed()
    source, target = rows["source"], rows["target"]
    of_source, of_target = rows["source_lengths"], rows["target_segments"]
    assert of_target[0].max() > 2
    if broken == "source":
        of_source = np.minimum(of_source, 1)
    if broken == "target":
        of_target = np.minimum(of_target, 1)
    run = jax.jit(lambda s, t: model(s, of_source, t, segments=of_target).logits)
    before = run(source, target)
    moved = [np.where((own == 2) & (x > EOS), (x + 3) % 9 + 4, x) for own, x in (
        (rows["source_lengths"], source), (rows["target_segments"], target)
    )]  # fmt: skip
    after = run(*moved)
    changed = np.any(np.asarray(before != after), axis=-1)
    own, others = rows["target_segments"] == 2, ~np.isin(rows["target_segments"], [0, 2])
    assert changed[own].any()
    assert changed[others].any() == (broken is not None)


def test_segments_of_one_side_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the source's too, as its lengths"):
        key_mask(jnp.array([3, 4]), jnp.ones((2, 5), int))
