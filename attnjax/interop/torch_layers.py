"""torch.nn.MultiheadAttention."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attnjax.interop.weights import as_numpy, made, parameters, require_plain
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.ops import scores

if TYPE_CHECKING:
    import torch


def from_torch(module: "torch.nn.MultiheadAttention") -> SoftmaxAttention:
    """Returns the layer that computes what a `torch.nn.MultiheadAttention` does, with copies of its weights.

    `bias_k` and `bias_v` become a memory of one key and value, `add_zero_attn` a sink of logit 0, `kdim` and
    `vdim` the widths of the context and of its values. Call it with batches first, and with `torch_masks`.
    Dropout is an argument of our call.

    Args:
      module: PyTorch's layer. Packed and separate projections are read alike.

    Raises:
      TypeError: The module is none such.
      ValueError: It holds float64 and jax is not set to it.

    Example:
      >>> try:
      ...     from torch.nn import MultiheadAttention
      ...     layer = from_torch(MultiheadAttention(8, 2, kdim=6))
      ... except ImportError:
      ...     pass
    """
    import torch

    if not isinstance(module, torch.nn.MultiheadAttention):
        raise TypeError(f"module is a {type(module).__name__}: expected a torch.nn.MultiheadAttention")
    dim, heads, size = module.embed_dim, module.num_heads, module.head_dim
    held: dict[str, Any] = {name: as_numpy(x) for name, x in module.named_parameters()}
    if module.in_proj_weight is None:
        kernels = [held[f"{letter}_proj_weight"] for letter in "qkv"]
    else:
        kernels = np.split(held["in_proj_weight"], 3)
    names = ("query", "key", "value")
    arrays: dict[str, Any] = {}
    arrays |= {f"{name}.kernel": x.T.reshape(-1, heads, size) for name, x in zip(names, kernels, strict=True)}
    arrays["out.kernel"] = held["out_proj.weight"].T.reshape(heads, size, dim)
    if "in_proj_bias" in held:
        biases = np.split(held["in_proj_bias"], 3)
        arrays |= {f"{name}.bias": x.reshape(heads, size) for name, x in zip(names, biases, strict=True)}
        arrays["out.bias"] = held["out_proj.bias"]
    if "bias_k" in held:
        arrays |= {
            f"memory.{ours}": held[theirs].reshape(1, heads, size)
            for ours, theirs in (("keys", "bias_k"), ("values", "bias_v"))
        }
    return made(
        arrays,
        dim=dim,
        heads=heads,
        context_dim=module.kdim,
        values_dim=module.vdim,
        bias="in_proj_bias" in held,
        memory=int("bias_k" in held),
        sink=0.0 if module.add_zero_attn else False,
    )


def to_torch(layer: SoftmaxAttention) -> "torch.nn.MultiheadAttention":
    """Returns a `torch.nn.MultiheadAttention`, batches first, with copies of a layer's weights.

    Raises:
      TypeError: The layer is no `SoftmaxAttention`.
      ValueError: The layer has what PyTorch's lacks: grouped heads, another head size than D/N, an own
        width of the output, some biases alone, rope, norms, a window, …
    """
    import torch

    require_plain(layer, "torch", "memory", "sink")
    held: dict[str, Any] = {name: np.asarray(x[...]) for name, x in parameters(layer).items()}
    dim, heads = layer.dim, layer.heads
    biases = [name for name in ("query.bias", "key.bias", "value.bias", "out.bias") if name in held]
    fixed = layer.sink is None or isinstance(layer.sink, float)
    slots = 0 if layer.memory is None else held["memory.keys"].shape[0]
    for name, got, expected in (
        ("kv_heads", layer.kv_heads, (heads,)),
        ("head_dim", layer.head_dim, (dim // heads,)),
        ("value_dim", layer.value_dim, (dim // heads,)),
        ("out_dim", held["out.kernel"].shape[-1], (dim,)),
        ("biases", len(biases), (0, 4)),
        ("memory", slots, (0, 1)),
        ("sink", layer.sink if fixed else True, (None, 0.0)),
    ):
        if got not in expected:
            wanted = " or ".join(map(repr, expected))
            raise ValueError(f"{name} {got!r}: torch's layer needs {wanted}")
    module = torch.nn.MultiheadAttention(
        dim,
        heads,
        bias=bool(biases),
        add_bias_kv=bool(slots),
        add_zero_attn=layer.sink is not None,
        kdim=layer.context_dim,
        vdim=layer.values_dim,
        batch_first=True,
        dtype=getattr(torch, str(held["out.kernel"].dtype)),
    )
    kernels = [held[f"{name}.kernel"].reshape(-1, dim).T for name in ("query", "key", "value")]
    arrays = {"out_proj.weight": held["out.kernel"].reshape(dim, dim).T}
    if module.in_proj_weight is None:
        arrays |= {f"{letter}_proj_weight": x for letter, x in zip("qkv", kernels, strict=True)}
    else:
        arrays["in_proj_weight"] = np.concatenate(kernels)
    if biases:
        arrays["in_proj_bias"] = np.concatenate([held[name].reshape(-1) for name in biases[:3]])
        arrays["out_proj.bias"] = held["out.bias"]
    if slots:
        arrays |= {"bias_k": held["memory.keys"].reshape(1, 1, dim)}
        arrays |= {"bias_v": held["memory.values"].reshape(1, 1, dim)}
    # NumPy's bfloat16 is none that torch knows: it takes such numbers by their bits.
    half = module.out_proj.weight.dtype == torch.bfloat16
    tensors = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
    module.load_state_dict(
        {
            name: torch.tensor(x.view(np.uint16)).view(torch.bfloat16) if half else torch.tensor(x)
            for name, x in tensors.items()
        }
    )
    return module


def torch_masks(attn_mask: Any = None, key_padding_mask: Any = None, *, heads: int) -> dict[str, Any]:
    """Returns the arguments of our call, mask and score, that mean the same as two masks of PyTorch.

    True leaves a pair or a key out there, where it lets it in here; floats are added to the scores in both.

    Args:
      attn_mask: [T, S], [B·N, T, S] or, of one sequence, [N, T, S], booleans or floats.
      key_padding_mask: [B, S] or, of one sequence, [S], booleans or floats.
      heads: N.

    Raises:
      ValueError: A mask has another number of axes, or not N heads for each of the batch.

    Example:
      >>> future = ~jnp.tri(3, dtype=bool)
      >>> torch_masks(future, heads=2)["mask"].tolist()
      [[True, False, False], [True, True, False], [True, True, True]]
    """
    mask: Array | None = None
    added = []
    for name, given, axes in (
        ("attn_mask", attn_mask, (2, 3)),
        ("key_padding_mask", key_padding_mask, (1, 2)),
    ):
        if given is None:
            continue
        array = jnp.asarray(as_numpy(given) if hasattr(given, "detach") else given)
        if array.ndim not in axes or (array.ndim == 3 and array.shape[0] % heads):
            shapes = f"[T, S] or [B·N, T, S] with N = {heads}" if name == "attn_mask" else "[B, S] or [S]"
            raise ValueError(f"{name} {list(array.shape)}: expected {shapes}")
        if name == "key_padding_mask":
            array = array[..., None, None, :]
        elif array.ndim == 3 and len(array) != heads:  # N of them are of a batch of one, or of no batch.
            array = array.reshape(-1, heads, *array.shape[1:])
        if array.dtype == bool:
            mask = ~array if mask is None else mask & ~array
        else:
            added.append(scores.pair_bias(array))
    return {"mask": mask, "score": added or None}
