"""A model here against the same folder in transformers: logits, every layer's attention and vectors."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import InputError, require
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.language_model import LanguageModel
from attnjax.models.vision import VisionTransformer
from attnjax.nn import Capture
from attnjax.pretrained.family import find
from attnjax.pretrained.folder import CONFIG, from_pretrained
from attnjax.pretrained.tensors import read_json

TOLERANCE = 1e-4
"""A difference of so large a share of the largest value is none, in float32."""
LENGTHS = (24, 9, 17)
"""Tokens of the rows that are compared."""
Values = dict[str, np.ndarray]


class Difference(NamedTuple):
    """The largest difference of an array, as a share of its largest value.

    Attributes:
      name: what it is of: "embedding", "blocks.0.attention", "blocks.0", …, "logits", from below.
      size: the share.
      largest: the largest value that transformers has.
    """

    name: str
    size: float
    largest: float


def verify(folder: str | Path, *, boosted: bool = False) -> list[Difference]:
    """Returns the differences between a model here and in transformers, in float32, from the first layer on.

    Both read rows of drawn tokens of several lengths, padded on the right, or drawn images.

    Args:
      folder: with config.json and tensors.
      boosted: whether weights are drawn anew, so large that every part of the model has an effect on the
        result: it tests the code, not the tensors on disk.

    Raises:
      InputError: As in `from_pretrained`; transformers is not installed, or lacks the class of the model.
    """
    torch, transformers = _libraries()
    if not boosted:
        return _compared(Path(folder), _theirs(Path(folder), transformers), torch)
    with tempfile.TemporaryDirectory() as place:
        drawn = boost(_theirs(Path(folder), transformers), torch)
        drawn.save_pretrained(place)
        return _compared(Path(place), drawn, torch)


def boost(model: Any, torch: Any) -> Any:
    """Draws the parameters of a model of transformers so that every part of it has an effect.

    Matrices are N(0, (2/√inputs)²), embeddings N(0, 1), vectors are moved by N(0, 0.3²). In a fresh model
    attention is flat, and a missing rotation or a wrong scale changes nothing that one sees.
    """
    draw = np.random.default_rng(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            values = draw.normal(size=shape)
            if len(shape) < 2:
                values = parameter.double().numpy() + 0.3 * values
            elif not any(word in name for word in ("embed", "wte", "wpe")):
                owner = model.get_submodule(name.rpartition(".")[0])
                inputs = shape[0] if type(owner).__name__ == "Conv1D" else shape[-1]
                values *= 2 / inputs**0.5
            parameter.copy_(torch.tensor(values))
    return model


def first_of(differences: list[Difference]) -> Difference | None:
    """Returns the first difference that is one; it may be NaN."""
    return next((found for found in differences if not found.size <= TOLERANCE), None)


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"verify needs {error.name} (pip install transformers torch)") from None
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


def _theirs(folder: Path, transformers: Any) -> Any:
    raw = read_json(folder / CONFIG)
    family = find(raw.get("model_type", ""), str(folder / CONFIG))
    name = (raw.get("architectures") or [family.peer])[0]
    made = getattr(transformers, name, None)
    require(made is not None, f"{folder / CONFIG} has architectures = [{name!r}], which transformers lacks")
    options: dict[str, Any] = {"attn_implementation": "eager", "dtype": "float32", "local_files_only": True}
    assert made is not None
    return made.from_pretrained(folder, **options).eval()


def _compared(folder: Path, theirs: Any, torch: Any) -> list[Difference]:
    model: Any = from_pretrained(folder, dtype="float32")
    answers = next((own for kind, own in _ANSWERS.items() if isinstance(model, kind)), None)
    require(answers is not None, f"verify does not know how to ask a {type(model).__name__}")
    assert answers is not None
    with torch.no_grad():
        ours, expected = answers(model, theirs, torch)
    return [
        _difference(name, np.asarray(ours[name], np.float64), expected[name]) for name in _order(expected)
    ]


def _difference(name: str, found: np.ndarray, expected: np.ndarray) -> Difference:
    largest = float(np.nanmax(np.abs(expected)))
    given = ~np.isnan(expected)
    return Difference(name, float(np.abs(found - expected)[given].max() / largest), largest)


def _order(values: Values) -> list[str]:
    """Returns names from below: a layer's attention stands before its vectors, what heads give last."""

    def place(name: str) -> tuple[bool, bool, bool, int, bool]:
        stack, _, rest = name.partition(".")
        number, _, attention = rest.partition(".")
        decodes = stack in ("decoder", "target_embedding", "decoder_norm")
        return name == "logits", decodes, "norm" in stack, int(number or -1), not attention

    return sorted(values, key=place)


def _of_tokens(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    tokens, mask = _tokens(theirs.config, model.embedding.tokens.num_embeddings, model.config.max_length)
    out = theirs(
        torch.tensor(tokens),
        attention_mask=torch.tensor(mask.astype(int)),
        output_attentions=True,
        output_hidden_states=True,
    )
    found = _run(model, jnp.asarray(tokens), lengths=jnp.asarray(mask.sum(1)))
    expected = dict(_named("blocks", "embedding", "norm", out.hidden_states, out.attentions))
    if found.logits is not None:
        expected["logits"] = out.logits
    ours = {"logits": found.logits, **found.weights, **found.hidden}
    return ours, {name: _without_padding(x, mask) for name, x in expected.items()}


def _of_images(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    side, channels = theirs.config.image_size, theirs.config.num_channels
    height, width = (side, side) if isinstance(side, int) else side
    images = np.random.default_rng(0).normal(size=(2, channels, height, width)).astype(np.float32)
    out = theirs(torch.tensor(images), output_attentions=True, output_hidden_states=True)
    found = _run(model, jnp.asarray(images.transpose(0, 2, 3, 1)))
    last = f"blocks.{len(out.attentions) - 1}"
    expected = dict(_named("blocks", "embedding", last, out.hidden_states, out.attentions))
    if found.logits is not None:
        expected["logits"] = out.logits
    ours = {"logits": found.logits, **found.weights, **found.hidden}
    return ours, {name: x.double().numpy() for name, x in expected.items()}


def _of_pairs(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    config = model.config
    both = model.source_embedding, model.target_embedding
    tables = [own.tokens for own in both if getattr(own, "tokens", None) is not None]
    vocab = min(table.num_embeddings for table in tables)
    source, mask = _tokens(theirs.config, vocab, config.max_length)
    target = source[:, ::-1].copy()
    if config.frames is None:
        given = {"input_ids": torch.tensor(source), "attention_mask": torch.tensor(mask.astype(int))}
    else:  # There is no padding: silence is heard.
        mask = np.ones((len(source), config.max_vectors), bool)
        shape = (len(source), 2 * config.max_vectors, config.frames)
        source = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        given = {"input_features": torch.tensor(source.swapaxes(1, 2))}
    out = theirs(
        **given,
        decoder_input_ids=torch.tensor(target),
        output_attentions=True,
        output_hidden_states=True,
    )
    found = _run(model, jnp.asarray(source), jnp.asarray(mask.sum(1)), jnp.asarray(target))
    ours = {"logits": found.logits, **found.weights, **found.hidden}
    encoder = out.encoder_hidden_states, out.encoder_attentions
    expected = dict(_named("encoder", "source_embedding", "encoder_norm", *encoder))
    values = {name: _without_padding(x, mask) for name, x in expected.items()}
    decoder = out.decoder_hidden_states, out.decoder_attentions
    expected = dict(
        _named("decoder", "target_embedding", "decoder_norm", *decoder, attention="self_attention")
    )
    expected |= {f"decoder.{i}.cross_attention": w for i, w in enumerate(out.cross_attentions)}
    return ours, values | {
        name: x.double().numpy() for name, x in (expected | {"logits": out.logits}).items()
    }


_ANSWERS: dict[type, Any] = {
    LanguageModel: _of_tokens,
    Encoder: _of_tokens,
    VisionTransformer: _of_images,
    Transformer: _of_pairs,
}
"""The function that asks both models, by the class of ours."""


def _run(model: nnx.Module, *inputs: Any, **options: Any) -> Any:
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: Any, inputs: Any, options: Any) -> Any:
        made: Any = nnx.merge(graph, state)
        return made(*inputs, **options, capture=Capture(hidden=True))

    return run(state, inputs, options)


def _tokens(config: Any, vocab: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns drawn tokens, and where they are no padding."""
    lengths = np.minimum(LENGTHS, longest)
    mask = np.arange(lengths.max()) < lengths[:, None]
    padding = getattr(config, "pad_token_id", None) or 0
    tokens = np.random.default_rng(0).integers(0, vocab - 1, mask.shape)
    tokens += tokens >= padding  # Some families tell padding by its id.
    return np.where(mask, tokens, padding), mask


def _named(
    stack: str, embedding: str, last: str, hidden: Any, attentions: Any, *, attention: str = "attention"
) -> Iterator[tuple[str, Any]]:
    """Yields the vectors and the attention of a stack by our names."""
    names = [embedding, *(f"{stack}.{i}" for i in range(len(hidden) - 2)), last]
    yield from zip(names, hidden, strict=True)
    yield from (
        (f"{stack}.{i}.{attention}", weights) for i, weights in enumerate(attentions) if weights is not None
    )


def _without_padding(x: Any, mask: np.ndarray) -> np.ndarray:
    """Returns an array whose rows of padding are NaN, where it has rows of tokens."""
    values = x.double().numpy()
    if values.ndim < 3 or values.shape[-2] != mask.shape[1]:
        return values
    return np.where(mask[:, :, None] if values.ndim == 3 else mask[:, None, :, None], values, np.nan)
