"""Taps: reading changes nothing, what is written is what the model goes on with, and gradients pass."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.models import (
    Encoder,
    EncoderConfig,
    LanguageModel,
    LanguageModelConfig,
    Transformer,
    TransformerConfig,
)
from attnjax.models.detr import Detr
from attnjax.models.detr_config import DetrConfig, ResNetConfig
from attnjax.models.swin import SwinTransformer
from attnjax.models.swin_config import SwinConfig
from attnjax.nn.taps import Sites, Taps, ablate, add, patch, scale, uniform
from attnjax.ops import masks
from tests.daily import daily

B, T, DIM, HEADS = 2, 5, 16, 4
TOKENS = jnp.array([[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]])
MECHANISMS = {
    "grouped softmax with sinks": lambda: nn.Attention(
        DIM, HEADS, kv_heads=2, rope="halves", sink=True, output_gate="headwise", rngs=nnx.Rngs(0)
    ),
    "window(size=2) & entmax": None,
    "differential": None,
    "mla": None,
    "tensor_product": None,
    "moba": None,
    "gated_delta_net": None,
}


def layer(name: str) -> Any:
    made = MECHANISMS.get(name)
    return nn.make_attention(name, DIM, HEADS, rngs=nnx.Rngs(0)) if made is None else made()


def x() -> jax.Array:
    return jax.random.normal(jax.random.key(0), (B, T, DIM))


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    config = LanguageModelConfig(dim=8, heads=2, hidden=8, layers=2)
    return LanguageModel(config, vocab=11, rngs=nnx.Rngs(0))


def test_a_request_of_nothing_compiles_the_program_of_no_request(model: LanguageModel) -> None:
    def text(capture: Any) -> str:
        return jax.jit(lambda tokens: model(tokens, capture=capture).logits).lower(TOKENS).as_text()

    assert text(Taps()) == text(None)
    assert text(Taps(read="logits")) == text(None)
    assert text(Taps(write={"norm": scale(2.0)})) != text(None)


def test_taps_read_blocks_that_are_computed_again(model: LanguageModel) -> None:
    params = nnx.state(model)
    again = LanguageModel(replace(model.config, remat=True), vocab=11, rngs=nnx.Rngs(0))

    def loss(params: Any, model: LanguageModel) -> Any:
        out = nnx.merge(nnx.graphdef(model), params)(TOKENS, capture=Taps(read="*.residual"))
        return out.logits.sum(), out.taps

    (by_plain, taps), (by_again, same) = (
        jax.jit(jax.grad(lambda p, m=m: loss(p, m), has_aux=True))(params) for m in (model, again)
    )
    for name, x in taps.items():
        np.testing.assert_allclose(same[name], x, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), by_plain, by_again)


@pytest.mark.optimised
def test_reading_everything_changes_no_bit(model: LanguageModel) -> None:
    plain = jax.jit(lambda tokens: model(tokens).logits)(TOKENS)
    out = jax.jit(lambda tokens: model(tokens, capture=Taps(read="*")))(TOKENS)
    np.testing.assert_array_equal(out.logits, plain)
    assert len(out.taps) == 2 + 2 * 10 + 2
    np.testing.assert_array_equal(out.taps["logits"], plain)


def of_windows() -> tuple[Any, str]:
    config = SwinConfig(dim=8, depths=(1, 1), heads=(2, 2), window=2, image=16)
    return SwinTransformer(config, rngs=nnx.Rngs(0)), "blocks.1.attention.out"


def of_objects() -> tuple[Any, str]:
    small = ResNetConfig(stem=4, widths=(8,), depths=(1,))
    config = DetrConfig(small, dim=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1, queries=3)
    return Detr(config, rngs=nnx.Rngs(0)), "decoder.0.cross_attention.heads"


@pytest.mark.parametrize("make", daily([of_windows, of_objects], [of_windows]))
def test_models_of_images_have_sites_too(make: Any) -> None:
    model, path = make()
    images = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))

    @jax.jit
    def run(images: jax.Array) -> Any:
        edited = model(images, capture=Taps(write={path: ablate()}))
        return model(images).states, model(images, capture=Taps(read="*")), edited.states

    plain, read, edited = run(images)
    np.testing.assert_allclose(read.states, plain, atol=1e-6)
    weights = path.rpartition(".")[0] + ".weights"
    np.testing.assert_allclose(read.taps[weights].sum(-1), 1, atol=1e-5)
    assert {path, path.partition(".")[0] + ".0.residual"} <= set(read.taps)
    assert np.abs(edited - plain).max() > 1e-3
    with pytest.raises(ValueError, match="there is no such site; the nearest are"):
        jax.eval_shape(lambda: model(images, capture=Taps(read="blocks.7.attention.out")).taps)


@pytest.mark.parametrize("name", daily(MECHANISMS, [*list(MECHANISMS)[:3], "mla"]))
def test_weights_are_those_that_the_output_depends_on(name: str) -> None:
    """Read, they are those of the output; written as they are, they give it; without them it is another."""
    module = layer(name)

    @jax.jit
    def run(x: jax.Array) -> Any:
        sites = {edit: Sites(Taps(read="*", write={"weights": how})) for edit, how in edits.items()}
        plain = module(x, mask=masks.causal()).out
        return plain, {
            edit: (module(x, mask=masks.causal(), capture=s).out, s.found) for edit, s in sites.items()
        }

    edits = {"same": scale(1.0), "uniform": uniform()}
    plain, found = run(x())
    out, taps = found["same"]
    np.testing.assert_allclose(out, plain, atol=2e-6)
    assert np.abs(found["uniform"][0] - plain).max() > 1e-3
    weights, values = taps["weights"], taps["values"]
    assert weights.shape == (B, HEADS, T, T)
    np.testing.assert_array_equal(np.triu(weights, 1), 0)
    if name != "differential":  # There a norm follows.
        values = np.repeat(values, HEADS // values.shape[2], axis=2)
        np.testing.assert_allclose(np.einsum("bnts,bsnv->btnv", weights, values), taps["heads"], atol=2e-6)


def test_the_gradient_by_weights_is_that_of_the_values_they_weigh() -> None:
    """∂L/∂w_ts = Σ_v ∂L/∂h_tv · v_sv, in NumPy; a tap that the output did not depend on would have none."""
    module, goal = layer("softmax"), jax.random.normal(jax.random.key(1), (B, T, DIM))

    def loss(nothing: Any) -> Any:
        sites = Sites(Taps(read=("values",), write={name: add(y) for name, y in nothing.items()}))
        return (module(x(), mask=masks.causal(), capture=sites).out * goal).sum(), sites.found["values"]

    nothing = {"weights": jnp.zeros((B, HEADS, T, T)), "heads": jnp.zeros((B, T, HEADS, DIM // HEADS))}
    found, values = jax.jit(jax.grad(loss, has_aux=True))(nothing)
    by_heads = np.einsum("btd,nvd->btnv", goal, module.out.kernel[...])
    np.testing.assert_allclose(found["heads"], by_heads, atol=1e-5)
    np.testing.assert_allclose(found["weights"], np.einsum("btnv,bsnv->bnts", by_heads, values), atol=1e-5)


def test_written_scores_are_those_that_are_normalised() -> None:
    module = layer("softmax")
    sites = Sites(Taps(read=("scores", "weights"), write={"scores": scale(2.0)}, rows=(4, 1)))
    module(x(), mask=masks.causal(), capture=sites)
    scores, weights = sites.found["scores"], sites.found["weights"]
    assert scores.shape == (B, HEADS, 2, T)
    assert np.isneginf(scores[:, :, 1, 2:]).all()
    np.testing.assert_allclose(weights, jax.nn.softmax(scores), atol=1e-6)
    plain = Sites(Taps(read="scores", rows=(4,)))
    module(x(), mask=masks.causal(), capture=plain)
    np.testing.assert_allclose(2 * plain.found["scores"][:, :, 0], scores[:, :, 0], rtol=1e-5)


def test_a_row_that_is_not_there_is_no_row() -> None:
    with pytest.raises(ValueError, match=rf"taps\.rows \(1, {T}\): there are {T}, counted from 0"):
        layer("softmax")(x(), mask=masks.causal(), capture=Sites(Taps(read="weights", rows=(1, T))))


def test_dropout_falls_on_written_weights_as_on_others() -> None:
    module, dropout = layer("softmax"), nn.Dropout(0.5, jax.random.key(2))
    sites = Sites(Taps(write={"weights": scale(1.0)}))
    plain = module(x(), mask=masks.causal(), dropout=dropout).out
    np.testing.assert_allclose(
        module(x(), mask=masks.causal(), dropout=dropout, capture=sites).out, plain, atol=2e-6
    )


def test_the_map_of_a_recurrence_is_its_response_to_single_values() -> None:
    """Column s is what the heads read where the value of token s alone is 1."""
    module = layer("gated_delta_net")

    @jax.jit
    def run(x: jax.Array) -> Any:
        sites = Sites(Taps(read="weights"))
        module(x, mask=masks.causal(), capture=sites)
        few = Sites(Taps(read="weights", rows=(3,)))
        module(x, mask=masks.causal(), capture=few)
        columns = []
        for s in range(T):
            one = patch((jnp.arange(T) == s)[:, None, None].astype(float))
            alone = Sites(Taps(read="heads", write={"values": one}))
            module(x, mask=masks.causal(), capture=alone)
            columns.append(alone.found["heads"][..., 0])
        return sites.found["weights"], few.found["weights"], columns

    weights, row, columns = run(x())
    for s, column in enumerate(columns):
        np.testing.assert_allclose(weights[..., s], np.swapaxes(column, 1, 2), atol=1e-6)
    np.testing.assert_allclose(row[:, :, 0], weights[:, :, 3], atol=1e-6)


def test_edits_are_arguments_of_one_program(model: LanguageModel) -> None:
    """Traced arrays: each head alone under vmap gives what a loop of ablations does."""
    traces = []

    @jax.jit
    def value(taps: Taps) -> Any:
        traces.append(taps)
        return model(TOKENS, capture=taps).logits

    chosen = jnp.eye(2, dtype=bool)[:, :, None]
    site = "blocks.1.attention.heads"
    loop = [value(Taps(write={site: ablate(where)})) for where in chosen]
    assert len(traces) == 1
    every = jax.vmap(lambda where: value(Taps(write={site: ablate(where)})))(chosen)
    np.testing.assert_allclose(every, jnp.stack(loop), atol=1e-5)
    assert np.abs(loop[0] - loop[1]).max() > 1e-3


def test_sites_of_an_encoder_and_a_decoder() -> None:
    config = TransformerConfig(dim=8, heads=2, encoder_layers=1, decoder_layers=2)
    model = Transformer(config, source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
    source, lengths, target = TOKENS, jnp.array([5, 3]), jnp.ones((B, 3), int)
    pattern = ("encoder.*.weights", "decoder.1.cross_attention.heads", "*.residual")
    found = jax.eval_shape(lambda: model(source, lengths, target, capture=Taps(read=pattern)).taps)
    assert {path: y.shape for path, y in found.items() if "residual" not in path} == {
        "encoder.0.attention.weights": (B, 2, 5, 5),
        "decoder.1.cross_attention.heads": (B, 3, 2, 4),
    }
    residuals = {path for path in found if "residual" in path}
    assert residuals == {"encoder.0.residual", "decoder.0.residual", "decoder.1.residual"}
    with pytest.raises(ValueError, match=r"read 'decoder.0.residual': there is no such site; .* encoder.0"):
        jax.eval_shape(lambda: model.encode(source, lengths, capture=Taps(read="decoder.0.residual")).taps)


def test_layers_without_sites_give_the_weights_that_they_have() -> None:
    model = Encoder(
        EncoderConfig(dim=8, heads=2, mechanism="fnet", positions="none"), vocab=11, rngs=nnx.Rngs(0)
    )
    with pytest.raises(ValueError, match=r"read '\*.weights': there is no such site"):
        jax.eval_shape(lambda: model(TOKENS, capture=Taps(read="*.weights")).taps)
    assert jax.eval_shape(lambda: model(TOKENS, capture=Taps(read="*.attention.out")).taps)


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (Taps(read="blocks.0.atention.weights"), "capture.read .* nearest are blocks.0.attention.weights"),
        (Taps(write={"blocks.7.residual": ablate()}), "capture.write 'blocks.7.residual': there is no such"),
    ],
)
def test_an_unknown_site_is_named_with_the_nearest(model: LanguageModel, taps: Taps, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: model(TOKENS, capture=taps).taps)


def test_what_cannot_be_written_is_named() -> None:
    module = nn.Attention(DIM, HEADS, memory=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"capture.write: weights can be read, not written"):
        module(x(), capture=Sites(Taps(write={"weights": ablate()})))
    sites = Sites(Taps(read="weights", rows=(3,)))
    module(x(), capture=sites)
    expected = module(x(), capture=nn.Capture(rows=(3,))).weights
    np.testing.assert_allclose(sites.found["weights"], expected, atol=1e-6)
