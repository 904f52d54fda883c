"""Layers that were made from torch.nn.MultiheadAttention compute what it does, and give its weights back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn import Capture, Dropout, SoftmaxAttention

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
interop = pytest.importorskip("attnjax.interop")

BATCH, T, S, DIM, HEADS = 2, 5, 7, 12, 3
CASES = {
    "packed": {},
    "without biases": {"bias": False},
    "other widths": {"kdim": 5, "vdim": 8},
    "a learned key": {"add_bias_kv": True},
    "a zero key": {"add_zero_attn": True},
    "all": {"kdim": 5, "vdim": 8, "add_bias_kv": True, "add_zero_attn": True},
}


def theirs(dtype=torch.float64, **options):
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(DIM, HEADS, batch_first=True, dtype=dtype, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(3 * torch.randn_like(parameter) / DIM**0.5)
    return module.eval()


def inputs(module):
    rng = np.random.default_rng(0)
    sizes = ((T, DIM), (S, module.kdim), (S, module.vdim))
    query, key, value = (rng.normal(size=(BATCH, *size)) for size in sizes)
    attn_mask = rng.random((T, S)) < 0.3
    attn_mask[:, 0] = False
    padding = np.arange(S) >= np.array([[S], [S - 2]])
    return (query, key, value), attn_mask, padding


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("masks", ["none", "booleans", "floats"])
@pytest.mark.usefixtures("x64")
def test_outputs_and_weights_agree(options: dict, masks: str) -> None:
    module = theirs(**options)
    layer = interop.from_torch(module)
    (query, key, value), attn_mask, padding = inputs(module)
    given = {}
    if masks == "booleans":
        given = {"attn_mask": attn_mask, "key_padding_mask": padding}
    elif masks == "floats":
        per_head = np.random.default_rng(1).normal(size=(BATCH * HEADS, T, S))
        given = {"attn_mask": per_head, "key_padding_mask": np.where(padding, -np.inf, 0.5)}
    tensors = [torch.tensor(x) for x in (query, key, value)]
    expected, weights = module(
        *tensors, **{name: torch.tensor(x) for name, x in given.items()}, average_attn_weights=False
    )
    call = jax.jit(
        lambda q, k, v: layer(q, k, values=v, capture=Capture(), **interop.torch_masks(**given, heads=HEADS))[
            ::2
        ]
    )
    out, captured = call(query, key, value)
    np.testing.assert_allclose(out, expected.detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(captured, weights.detach().numpy()[..., :S], atol=1e-10)


@pytest.mark.parametrize("masks", ["none", "booleans", "floats", "of each head"])
@pytest.mark.usefixtures("x64")
def test_a_sequence_without_a_batch_agrees(masks: str) -> None:
    module = theirs(**CASES["all"])
    layer = interop.from_torch(module)
    (query, key, value), attn_mask, padding = inputs(module)
    given = {
        "none": {},
        "booleans": {"attn_mask": attn_mask, "key_padding_mask": padding[1]},
        "floats": {"attn_mask": np.where(attn_mask, -1.0, 2.0), "key_padding_mask": padding[1] * -2.0},
        "of each head": {"attn_mask": np.stack([attn_mask, ~attn_mask, attn_mask ^ padding[1]])},
    }[masks]
    expected, _ = module(
        *(torch.tensor(x[0]) for x in (query, key, value)),
        **{name: torch.tensor(x) for name, x in given.items()},
    )
    out = layer(query[0], key[0], values=value[0], **interop.torch_masks(**given, heads=HEADS)).out
    np.testing.assert_allclose(out, expected.detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("name", ["a learned key", "a zero key", "all"])
@pytest.mark.usefixtures("x64")
def test_a_row_without_keys_of_its_own_reads_those_that_are_added(name: str) -> None:
    module = theirs(**CASES[name])
    layer = interop.from_torch(module)
    (query, key, value), _, _ = inputs(module)
    padding = np.array([[False] * S, [True] * S])
    expected, weights = module(
        *map(torch.tensor, (query, key, value)),
        key_padding_mask=torch.tensor(padding),
        average_attn_weights=False,
    )
    given = interop.torch_masks(key_padding_mask=padding, heads=HEADS)
    out, _, captured = jax.jit(lambda q, k, v: layer(q, k, values=v, capture=Capture(), **given))(
        query, key, value
    )
    np.testing.assert_allclose(out, expected.detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(captured, weights.detach().numpy()[..., :S], atol=1e-10)


def test_weights_come_back_as_they_went() -> None:
    for dtype, options in [*((torch.float32, options) for options in CASES.values()), (torch.bfloat16, {})]:
        module = theirs(dtype, **options)
        back = interop.to_torch(interop.from_torch(module))
        assert back.state_dict().keys() == module.state_dict().keys()
        for name, x in module.state_dict().items():
            assert torch.equal(back.state_dict()[name], x), name


def test_bfloat16_stays_bfloat16() -> None:
    module = theirs(torch.bfloat16)
    (query, _, _), _, _ = inputs(module)
    query, score = torch.tensor(query, dtype=torch.bfloat16), torch.randn(T, T, dtype=torch.bfloat16)
    expected = module(query, query, query, attn_mask=score)[0].detach().float().numpy()
    layer = interop.from_torch(module)
    x = jnp.asarray(query.float().numpy(), jnp.bfloat16)
    out = layer(x, **interop.torch_masks(score, heads=HEADS)).out
    assert out.dtype == layer.query.kernel[...].dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), expected, atol=0.03 * np.abs(expected).max())


def test_float32_stays_float32() -> None:
    module = theirs(torch.float32)
    (query, key, value), _, _ = inputs(module)
    expected, _ = module(*(torch.tensor(x, dtype=torch.float32) for x in (query, key, value)))
    layer = interop.from_torch(module)
    out = layer(
        *(jnp.asarray(x, jnp.float32) for x in (query, key)), values=jnp.asarray(value, jnp.float32)
    ).out
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, expected.detach().numpy(), atol=1e-5 * np.abs(out).max())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kv_heads": 1}, "kv_heads 1: torch's layer needs 3"),
        ({"rope": "halves"}, "the layer has a rope: torch's layer has none"),
        ({"bias": ("query",)}, "biases 1: torch's layer needs 0 or 4"),
        ({"memory": 2}, "memory 2: torch's layer needs 0 or 1"),
    ],
)
def test_what_torch_lacks_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interop.to_torch(SoftmaxAttention(DIM, HEADS, **settings, rngs=nnx.Rngs(0)))


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(TypeError, match="layer is a Linear: expected a SoftmaxAttention"):
        interop.to_torch(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    with pytest.raises(TypeError, match=r"module is a Linear: expected a torch\.nn\.MultiheadAttention"):
        interop.from_torch(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="expected jax_enable_x64"):
        interop.from_torch(theirs())
    with pytest.raises(
        ValueError, match=r"attn_mask \[5, 3, 3\]: expected \[T, S\] or \[B·N, T, S\] with N = 2"
    ):
        interop.torch_masks(np.zeros((5, 3, 3), bool), heads=2)
    with pytest.raises(ValueError, match=r"key_padding_mask \[2, 1, 3\]: expected \[B, S\] or \[S\]$"):
        interop.torch_masks(key_padding_mask=np.zeros((2, 1, 3), bool), heads=2)


def test_what_differs_by_design_is_as_the_page_says() -> None:
    module = theirs(torch.float32, dropout=0.5)
    layer = interop.from_torch(module)
    x = torch.randn(BATCH, T, DIM)
    nothing = torch.zeros(T, T, dtype=bool)
    nothing[1] = True
    there, _ = module(x, x, x, attn_mask=nothing)
    here = layer(jnp.asarray(x.numpy()), **interop.torch_masks(nothing, heads=HEADS)).out
    assert bool(there[:, 1].isnan().all())
    np.testing.assert_array_equal(here[:, 1], np.broadcast_to(layer.out.bias[...], (BATCH, DIM)))
    _, weights = module.train()(x, x, x, average_attn_weights=False)
    assert float((weights.detach().sum(-1) - 1).abs().max()) > 0.1
    dropout = Dropout(0.5, jax.random.key(0))
    captured = layer(jnp.asarray(x.numpy()), dropout=dropout, capture=Capture()).weights
    np.testing.assert_allclose(captured.sum(-1), 1, atol=1e-5)
