"""What the loss of a translator adds: guided alignment and coverage, by hand, and what does not fit."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.strings_config import StringsData
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.nn import Capture
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.tasks.translation.losses import alignment_loss
from attnjax.tasks.translation.strings import StringsTask
from attnjax.tasks.translation.task import TranslationTask
from tests.daily import daily

DATES = TranslationData(examples=30, evaluation_examples=4, locales=("es",))
SMALL = TransformerConfig(
    dim=8, heads=2, encoder_layers=1, decoder_layers=1, hidden=8, implementation="reference"
)
RNN = RecurrentConfig(dim=8, cell="gru")
BOTH = TranslationLoss(lambda_align=0.5, lambda_coverage=2.0, align_head=1)


def test_the_loss_of_guided_attention_is_a_cross_entropy_of_what_is_aligned() -> None:
    draw = np.random.default_rng(0)
    weights, given = draw.dirichlet(np.ones(4), (2, 3)), draw.dirichlet(np.ones(4), (2, 3))
    given[0, 1] = 0
    weights[1, 0] = [0, 0, 0, 1]
    counted = np.array([[True, True, True], [True, True, False]])
    costs = -(given * np.log(np.maximum(weights, 1e-18))).sum(-1)
    expected = costs[counted].sum() / 5
    found = alignment_loss(jnp.asarray(weights), jnp.asarray(given), jnp.asarray(counted))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_whole_loss_is_the_sum_of_its_parts() -> None:
    """With a head and the last layer of a Transformer that copies, and the full context in a second pass."""
    data = TranslationData(**{**vars(DATES), "share_vocabulary": True})
    config = TransformerConfig(**{**vars(SMALL), "copy": True})
    task, plain = (TranslationTask(data, config, loss=x, batch_size=4) for x in (BOTH, TranslationLoss()))
    whole = TranslationLoss(lambda_align=0.5, lambda_coverage=2.0, full_context=True)
    full = TranslationTask(data, config, loss=whole, batch_size=4)
    params, batch = jax.jit(task.init)(jax.random.key(0)), task.batch(3)
    assert set(batch) == set(plain.batch(3)) | {"alignment"} == set(task.validation)
    found, metrics, of_full, of_plain, weights = jax.jit(
        lambda p: (
            *task.loss(p, batch, dropout=None),
            full.loss(p, batch, dropout=None)[1],
            plain.loss(p, batch, dropout=None)[0],
            task.model(p)(
                batch["source"], batch["source_lengths"], batch["target"][:, :-1], capture=Capture()
            ).weights,
        )
    )(params)
    a = np.asarray(weights["decoder.0.cross_attention"])
    counted = batch["target"][:, 1:] != 0
    covered = np.minimum(a, np.cumsum(a, axis=-2) - a).sum(-1).mean(1)[counted].mean()
    np.testing.assert_allclose(metrics["coverage_loss"], covered, rtol=1e-5)
    aligned = -(batch["alignment"] * np.log(np.maximum(a[:, 1], 1e-18))).sum(-1)[counted].mean()
    np.testing.assert_allclose(metrics["alignment_loss"], aligned, rtol=1e-5)
    np.testing.assert_allclose(found, of_plain + 0.5 * aligned + 2 * covered, rtol=1e-5)
    assert metrics["loss"] == found
    assert abs(of_full["alignment_loss"] - aligned) > 1e-6
    np.testing.assert_allclose(of_full["coverage_loss"], covered, rtol=1e-5)


@pytest.mark.parametrize("mechanism", daily(["general", None], ["general"]))
def test_a_recurrent_task_translates_and_says_where_it_looked(mechanism: str | None, tmp_path: Path) -> None:
    config = RecurrentConfig(dim=8, cell="gru", cross_mechanism=mechanism)
    strings = StringsData(letters=3, longest=3, beyond=4, examples=8, evaluation_examples=2)
    task = StringsTask(strings, config, batch_size=4)
    params = jax.jit(task.init)(jax.random.key(0))
    evaluation = task.evaluate(params, tmp_path)
    assert list(evaluation.metrics) == ["length 2", "length 4"]
    (one,) = task.translate(params, ["abc"])
    assert one.alignment.shape == (len(one.target_pieces), 3)
    if mechanism is None:
        assert not one.alignment.any()
        assert one.weights_of == "no attention"
        with pytest.raises(InputError, match=r"search\.coverage_penalty is 'wu': it needs attention"):
            task.translate(params, ["abc"], search=SearchConfig(beams=2, coverage_penalty="wu"))
    else:
        np.testing.assert_allclose(one.alignment.sum(-1), 1, rtol=1e-5)
        assert one.weights_of == "attention of the decoder (general)"


@pytest.mark.parametrize(
    ("config", "loss", "data", "told"),
    [
        (RecurrentConfig(copy=True), {}, {}, "model.copy is True: it needs one vocabulary of both sides"),
        (
            RecurrentConfig(cross_mechanism=None),
            {"lambda_align": 0.1},
            {},
            "lambda_align is 0.1: there are no att",
        ),
        (
            RecurrentConfig(cross_mechanism=None),
            {"lambda_coverage": 1},
            {},
            "lambda_coverage is 1: there are no",
        ),
        (
            RNN,
            {"lambda_align": 0.1, "align_head": 1},
            {},
            "align_head is 1: the decoder has 1, counted from 0",
        ),
        (SMALL, {"lambda_align": 0.1, "align_layer": 1}, {}, "align_layer is 1: the decoder has 1"),
        (
            RNN,
            {"lambda_align": 0.1, "full_context": True},
            {},
            "full_context is True: it needs a Transformer",
        ),
        (RNN, {"lambda_align": 0.1}, {"train": Path("pairs.tsv")}, "data.alignment is None, expected a file"),
        (RNN, {"lambda_align": 0.1}, {"buckets": 2}, "it comes with no data.buckets, data.batch_tokens"),
        (RNN, {}, {"alignment": Path("pairs.txt")}, "data.alignment needs data.train"),
        (RNN, {}, {"packing": 64}, "data.packing is 64: a recurrent model reads a row as one text"),
        (
            TransformerConfig(cross_mechanism="local_p(size=2)"),
            {},
            {"packing": 64},
            "local_p cannot keep pairs of one row apart",
        ),
        (
            TransformerConfig(positions="learned", max_length=32),
            {},
            {"packing": 64},
            "data.packing is 64: model.max_length is 32, expected as many",
        ),
        (
            RNN,
            {"full_context": True},
            {},
            "loss.full_context is True: it says nothing without loss.lambda_align",
        ),
        (RNN, {"lambda_align": -1.0}, {}, "loss.lambda_align is -1.0: expected 0 or more"),
        (
            RNN,
            {"lambda_align": 1.0, "align_head": -1},
            {},
            "loss.align_head is -1: expected a number from 0 on",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_before_the_data_is_read(
    config: Any, loss: dict[str, Any], data: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told) as error:
        TranslationTask(TranslationData(**data), config, loss=TranslationLoss(**loss), batch_size=4)
    assert "\n" not in str(error.value)
