"""Layers of images, sets and graphs against modules of transformers and PyTorch, with weights copied by hand.

No peer here: co-attention, gated cross-attention, slot attention, set blocks, bilinear attention, gMLP, AFT,
Hyena, Graphormer, CBAM, ECA, axial, neighborhood and augmented convolution are compared with loops only.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn import make_attention
from attnjax.ops.sampled import bilinear_samples
from tests.nn.moved import moved

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")

D, N = 8, 2
DRAW = np.random.default_rng(17)


def made(text: str) -> tuple[Any, dict[str, Any]]:
    """Our layer in float64, at 3× the scale of its start, and its parameters."""
    options = {} if text == "fnet" else {"param_dtype": jnp.float64}
    graphdef, params, plain = moved(make_attention(text, D, N, rngs=nnx.Rngs(0), **options))
    return nnx.merge(graphdef, params), plain


def tensor(x: Any) -> Any:
    return torch.tensor(np.asarray(x, np.float64))


def put(linear: Any, p: dict[str, Any], outputs: int = 1) -> None:
    """A linear map [*in, *out], the last `outputs` axes of which are out, into one of torch."""
    kernel = np.asarray(p["kernel"])
    width = int(np.prod(kernel.shape[-outputs:]))
    weights = {"weight": tensor(kernel.reshape(-1, width).T)}
    if "bias" in p:
        weights["bias"] = tensor(p["bias"]).reshape(-1)
    linear.load_state_dict(weights)


def put_norm(norm: Any, p: dict[str, Any]) -> None:
    norm.load_state_dict({"weight": tensor(p["scale"]), "bias": tensor(p["bias"])})
    norm.eps = 1e-6


def put_attention(names: dict[str, Any], p: dict[str, Any]) -> None:
    for name, linear in names.items():
        put(linear, p[name], 1 if name == "out" else 2)


def close(got: Any, expected: Any, atol: float = 1e-10) -> None:
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=atol)


def test_fnet_is_the_fourier_transform_of_transformers() -> None:
    from transformers.models.fnet.modeling_fnet import FNetBasicFourierTransform, FNetConfig

    x = DRAW.normal(size=(2, 6, D))
    close(made("fnet")[0](jnp.asarray(x)).out, FNetBasicFourierTransform(FNetConfig())(tensor(x))[0])


@pytest.mark.parametrize("shift", [0, 1])
def test_swin_windows_are_those_of_transformers(shift: int) -> None:
    from transformers.models.swin.modeling_swin import SwinConfig, SwinLayer

    ours, p = made(f"swin_window(size=3, shift={shift})")
    layer = SwinLayer(SwinConfig(window_size=3), D, (6, 9), N, shift_size=shift).double().eval()
    a, own = p["attention"], layer.attention
    put_attention({"query": own.q_proj, "key": own.k_proj, "value": own.v_proj, "out": own.o_proj}, a)
    own.relative_position_bias.relative_position_bias_table.data = tensor(p["bias"])
    layer.layernorm_before = torch.nn.Identity()
    layer.mlp.register_forward_hook(lambda module, given, out: 0 * out)
    x = DRAW.normal(size=(2, 6, 9, D))
    out, _ = layer(tensor(x).reshape(2, 54, D), (6, 9))
    # Its softmax is in float32.
    close(ours(jnp.asarray(x)).out, (out - tensor(x).reshape(2, 54, D)).reshape(2, 6, 9, D), atol=1e-4)


def test_deformable_attention_is_that_of_transformers() -> None:
    from transformers.models.deformable_detr import modeling_deformable_detr as peer

    ours, p = made("deformable(levels=2, points=3)")
    config = peer.DeformableDetrConfig(d_model=D, num_feature_levels=2)
    layer = peer.DeformableDetrMultiscaleDeformableAttention(config, N, 3).double()
    put(layer.sampling_offsets, p["offsets"], 4)
    put(layer.attention_weights, p["weights"], 3)
    put(layer.value_proj, p["value"], 2)
    put(layer.output_proj, p["out"])
    x, shapes = DRAW.normal(size=(2, 4, 5, D)), [(4, 5), (2, 3)]
    levels = [x, DRAW.normal(size=(2, 2, 3, D))]
    row, column = np.divmod(np.arange(20), 5)
    middle = np.stack([(column + 0.5) / 5, (row + 0.5) / 4], -1)
    expected, _ = layer(
        tensor(x).reshape(2, 20, D),
        encoder_hidden_states=torch.cat([tensor(y).reshape(2, -1, D) for y in levels], 1),
        reference_points=tensor(np.broadcast_to(middle[None, :, None], (2, 20, 2, 2))),
        spatial_shapes=torch.tensor(shapes),
        spatial_shapes_list=shapes,
    )
    close(ours(jnp.asarray(x), [jnp.asarray(y) for y in levels]).out, expected.reshape(2, 4, 5, D))


def test_samples_and_their_gradients_are_those_of_grid_sample() -> None:
    image, places = DRAW.normal(size=(2, 4, 5, 1, 3)), DRAW.uniform(-0.3, 1.3, size=(2, 6, 1, 2, 2))
    weights = DRAW.normal(size=(2, 6, 1, 2, 3))
    picture, grid = tensor(image[..., 0, :]).permute(0, 3, 1, 2), tensor(places[:, :, 0])
    picture, grid = picture.requires_grad_(), grid.requires_grad_()
    found = torch.nn.functional.grid_sample(picture, 2 * grid - 1, align_corners=False).permute(0, 2, 3, 1)
    (found * tensor(weights[:, :, 0])).sum().backward()

    def ours(image: Any, places: Any) -> tuple[Any, Any]:
        samples = bilinear_samples(image, places)
        return (samples * weights).sum(), samples

    both = jax.value_and_grad(ours, argnums=(0, 1), has_aux=True)
    (_, samples), slopes = both(jnp.asarray(image), jnp.asarray(places))
    close(samples[:, :, 0], found)
    close(slopes[0][..., 0, :], picture.grad.permute(0, 2, 3, 1))
    close(slopes[1][:, :, 0], grid.grad)


def test_the_resampler_is_that_of_idefics_but_for_its_activation() -> None:
    from transformers.models.idefics.perceiver import IdeficsPerceiverAttention

    ours, p = made("perceiver_resampler(latents=3, layers=1, expansion=1)")
    layer, (own,) = (
        IdeficsPerceiverAttention(D, N, D // N, qk_layer_norms=False).double(),
        p["layers"].values(),
    )
    names = {"query": layer.q_proj, "key": layer.k_proj, "value": layer.v_proj, "out": layer.output_proj}
    put_attention(names, own["attention"])
    put_norm(layer.context_layer_norm, own["set_norm"])
    put_norm(layer.latents_layer_norm, own["norm"])
    x = DRAW.normal(size=(2, 5, D))
    latents = tensor(p["latents"]).repeat(2, 1, 1)
    latents = layer(tensor(x), latents) + latents
    h = torch.nn.functional.layer_norm(latents, (D,), eps=1e-6) * tensor(own["feed_forward_norm"]["scale"])
    h = (h + tensor(own["feed_forward_norm"]["bias"])) @ tensor(own["feed_forward"]["up"]["kernel"])
    h = torch.nn.functional.gelu(h, approximate="tanh") @ tensor(own["feed_forward"]["down"]["kernel"])
    norm = torch.nn.LayerNorm(D).double()
    put_norm(norm, p["norm"])
    close(ours(jnp.asarray(x)).out, norm(latents + h))


def test_the_q_former_is_that_of_blip_2() -> None:
    from transformers import Blip2QFormerConfig
    from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel

    ours, p = made("q_former(queries=3, layers=3, context_dim=6, expansion=2)")
    config = Blip2QFormerConfig(
        hidden_size=D,
        num_attention_heads=N,
        num_hidden_layers=3,
        intermediate_size=2 * D,
        encoder_hidden_size=6,
        cross_attention_frequency=2,
        layer_norm_eps=1e-6,
        hidden_act="gelu_pytorch_tanh",
    )
    model = Blip2QFormerModel(config).double().eval()
    put_norm(model.layernorm, p["norm"])

    def put_block(peer: Any, attention: dict[str, Any], norm: dict[str, Any]) -> None:
        own = peer.attention
        names = {"query": own.query, "key": own.key, "value": own.value, "out": peer.output.dense}
        put_attention(names, attention)
        put_norm(peer.output.LayerNorm, norm["norm"])

    for number, layer in enumerate(model.encoder.layer):
        block = p["blocks"][number]
        reads = "cross_attention" in block
        own = ("self_attention", "self_residual") if reads else ("attention", "attention_residual")
        put_block(layer.attention, *(block[name] for name in own))
        if reads:
            put_block(layer.crossattention, block["cross_attention"], block["cross_residual"])
        put(layer.intermediate_query.dense, block["feed_forward"]["up"])
        put(layer.output_query.dense, block["feed_forward"]["down"])
        put_norm(layer.output_query.LayerNorm, block["feed_forward_residual"]["norm"])
    x = DRAW.normal(size=(2, 5, 6))
    expected = model(tensor(p["queries"]).repeat(2, 1, 1), encoder_hidden_states=tensor(x)).last_hidden_state
    close(ours(jnp.asarray(x)).out, expected, atol=1e-5)


def test_gat_and_its_gradients_are_those_of_scatters() -> None:
    ours, p = made("gat")
    x, edges = DRAW.normal(size=(5, D)), np.array([[0, 1, 2, 3, 3, 1, 0, 2], [1, 1, 0, 0, 2, 0, 1, 0]])
    weights = DRAW.normal(size=(5, D))
    nodes, (source, target) = tensor(x).requires_grad_(), torch.tensor(edges)
    h = torch.einsum("vd,dnh->vnh", nodes, tensor(p["node"]["kernel"]))
    of_source, of_target = ((h * tensor(p["vectors"][name])).sum(-1) for name in ("of_source", "of_target"))
    powers = torch.nn.functional.leaky_relu(of_source[source] + of_target[target], 0.2).exp()
    total = torch.zeros(5, N).double().index_add(0, target, powers)
    read = torch.zeros(5, N, D // N).double()
    read = read.index_add(0, target, (powers / total[target])[..., None] * h[source])
    expected = read.reshape(5, D) + tensor(p["bias"])
    (expected * tensor(weights)).sum().backward()

    def loss(x: Any) -> tuple[Any, Any]:
        out = ours(x, jnp.asarray(edges)).out
        return (out * weights).sum(), out

    (_, out), slope = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(x))
    close(out, expected)
    close(slope, nodes.grad)
