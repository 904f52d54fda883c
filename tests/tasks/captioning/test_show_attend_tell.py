"""The captioning task with a recurrent decoder: its loss by formula, and captions in any batch."""

from typing import Any

import jax
import numpy as np
import optax
import pytest

from attnjax.data.images.config import CaptionData
from attnjax.data.text.tokenizer import PAD
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.nn import Capture
from attnjax.tasks.captioning.answering import GivenImage
from attnjax.tasks.captioning.config import CaptionLossConfig
from attnjax.tasks.captioning.task import CaptioningTask
from attnjax.tasks.translation.config import SearchConfig

MODEL = CaptionerConfig(
    dim=8,
    heads=2,
    encoder_layers=0,
    decoder_layers=2,
    patch=20,
    decoder="gru",
    cross_mechanism="additive",
)
DATA = CaptionData(kind="digits", examples=24, evaluation_examples=6)
LOSS = CaptionLossConfig(doubly_stochastic=0.3)


@pytest.fixture(scope="module")
def task() -> CaptioningTask:
    return CaptioningTask(DATA, MODEL, loss=LOSS, batch_size=4, search=SearchConfig(beams=2))


@pytest.fixture(scope="module")
def params(task: CaptioningTask) -> Any:
    return jax.jit(task.init)(jax.random.key(0))


def test_the_loss_adds_lambda_times_the_squares_of_what_patches_lack(task, params) -> None:
    """And its gradients reach every parameter and are finite."""
    batch = task.batch(0)
    target, labels = batch["target"][:, :-1], batch["target"][:, 1:]
    both = jax.jit(jax.value_and_grad(lambda p: task.loss(p, batch, dropout=None), has_aux=True))
    (value, metrics), slopes = both(params)
    output = jax.jit(
        lambda p: task.model(p)(batch["source"], batch["source_lengths"], target, capture=Capture())
    )(params)
    losses = np.asarray(optax.softmax_cross_entropy_with_integer_labels(output.logits, labels), np.float64)
    looks = np.asarray(output.weights["decoder.cross_attention"], np.float64)[:, 0]
    total, penalty = 0.0, 0.0
    for row, kept in enumerate(labels != PAD):
        total += losses[row, kept].sum()
        of_patches = [(1 - sum(looks[row, t, i] for t in np.flatnonzero(kept))) ** 2 for i in range(4)]
        penalty += kept.sum() * sum(of_patches) / 4
    count = (labels != PAD).sum()
    np.testing.assert_allclose(value, (total + 0.3 * penalty) / count, rtol=1e-5)
    np.testing.assert_allclose(metrics["doubly_stochastic"], penalty / count, rtol=1e-5)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(slope).all(), path
        assert (np.asarray(slope) != 0).any(), path


def test_a_caption_and_its_maps_are_the_same_in_any_batch(task, params) -> None:
    pixels = task._parts["held-out scenes"].pixels[:3]
    given = [GivenImage(image) for image in pixels]
    together = task.predict(params, given)
    for one, alone in zip(together, (task.predict(params, [image])[0] for image in given), strict=True):
        assert one.text == alone.text
        np.testing.assert_array_equal(one.maps, alone.maps)
        assert one.log_prob == alone.log_prob
        assert one.maps.shape == (len(one.words), 2, 2)
        assert one.weights_of == "attention of the decoder (additive)"


@pytest.mark.slow
def test_it_learns_what_a_few_images_show() -> None:
    config = CaptionerConfig(
        dim=32,
        heads=1,
        encoder_layers=0,
        decoder_layers=1,
        stem="convolution",
        decoder="lstm",
        cross_mechanism="additive",
    )
    task = CaptioningTask(DATA, config, loss=LOSS, batch_size=8)
    params = jax.jit(task.init)(jax.random.key(0))
    rule = optax.adam(1e-2)
    state = rule.init(params)

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any, Any]:
        loss, slopes = jax.value_and_grad(lambda p: task.loss(p, batch, dropout=None)[0])(params)
        changes, state = rule.update(slopes, state)
        return optax.apply_updates(params, changes), state, loss

    losses = []
    for number in range(150):
        params, state, loss = step(params, state, task.batch(number))
        losses.append(float(loss))
    assert np.mean(losses[-10:]) < 0.4 * np.mean(losses[:10])
