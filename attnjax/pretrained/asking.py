"""What a model here and the same one in transformers say of the same drawn inputs, by the class of ours."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import require
from attnjax.models.detr import Detr
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.image_and_text import ContrastiveModel
from attnjax.models.language_model import LanguageModel
from attnjax.models.swin import SwinTransformer
from attnjax.models.vision import VisionTransformer
from attnjax.nn import Capture

LENGTHS = (24, 9, 17)
"""Tokens of the rows that are compared."""
Values = dict[str, np.ndarray]


def ask(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    """Returns what both models say of rows of several lengths, padded on the right, or of images.

    Args:
      model: of ours.
      theirs: of transformers.
      torch: the package.

    Returns:
      What ours says, by its own names, and what of it theirs says too, from the first layer on; NaN of
      padding.

    Raises:
      InputError: Nobody knows how to ask a model of this class.
    """
    answers = next((own for kind, own in _ANSWERS.items() if isinstance(model, kind)), None)
    require(answers is not None, f"verify does not know how to ask a {type(model).__name__}")
    assert answers is not None
    with torch.no_grad():
        ours, expected = answers(model, theirs, torch)
    return ours, expected


def _from_below(values: Values) -> Values:
    """Returns values in order: a layer's attention stands before its vectors, what heads give last."""

    def place(name: str) -> tuple[bool, bool, bool, int, bool]:
        stack, _, rest = name.partition(".")
        number, _, attention = rest.partition(".")
        decodes = stack in ("decoder", "target_embedding", "decoder_norm")
        return name in ("boxes", "logits"), decodes, "norm" in stack, int(number or -1), not attention

    return {name: values[name] for name in sorted(values, key=place)}


def _of_tokens(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    tokens, mask = _tokens(theirs.config, model.embedding.tokens.num_embeddings, model.config.max_length)
    out = theirs(
        torch.tensor(tokens),
        attention_mask=torch.tensor(mask.astype(int)),
        output_attentions=True,
        output_hidden_states=True,
    )
    found = _run(model, jnp.asarray(tokens), lengths=jnp.asarray(mask.sum(1)))
    expected = dict(_named("blocks", "embedding", "norm", out.hidden_states, ()))
    # Of a hybrid only the layers that have weights are among them.
    seen = [name for i in range(model.config.layers) if (name := f"blocks.{i}.attention") in found.weights]
    expected |= dict(zip(seen, (x for x in out.attentions if x is not None), strict=True))
    if found.logits is not None:
        expected["logits"] = out.logits
    ours = {"logits": found.logits, **found.weights, **found.hidden}
    return ours, _from_below({name: _without_padding(x, mask) for name, x in expected.items()})


def _of_images(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    images = _images(theirs.config)
    out = theirs(torch.tensor(images), output_attentions=True, output_hidden_states=True)
    found = _run(model, jnp.asarray(images.transpose(0, 2, 3, 1)))
    last = f"blocks.{len(out.attentions) - 1}"
    expected = dict(_named("blocks", "embedding", last, out.hidden_states, out.attentions))
    if found.logits is not None:
        expected["logits"] = out.logits
    ours = {"logits": found.logits, **found.weights, **found.hidden}
    return ours, _from_below({name: x.double().numpy() for name, x in expected.items()})


def _of_stages(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    images = _images(theirs.config)
    out = theirs(torch.tensor(images), output_attentions=True, output_hidden_states=True)
    found = _run(model, jnp.asarray(images.transpose(0, 2, 3, 1)))
    expected, last = {"embedding": out.hidden_states[0]}, -1
    for i, depth in enumerate(theirs.config.depths):
        last += depth
        name = f"blocks.{last}.attention"
        expected[name] = out.attentions[i].reshape(found.weights[name].shape)
        expected[f"stages.{i}"] = out.hidden_states[i + 1]
    if found.logits is not None:
        expected["logits"] = out.logits
    ours = {"logits": found.logits, **found.weights, **found.hidden}
    return ours, {name: x.double().numpy() for name, x in expected.items()}


def _of_objects(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    """Returns what both find in an image and in a smaller one, which is padded."""
    size = (2, 160, 224)
    images = np.random.default_rng(0).normal(size=(*size, theirs.config.num_channels)).astype(np.float32)
    real = np.ones(size, bool)
    real[1, 120:], real[1, :, 130:] = False, False
    asked = {"output_attentions": True, "output_hidden_states": True}
    pixels, given = torch.tensor(images.transpose(0, 3, 1, 2)), torch.tensor(real)
    out = theirs(pixels, pixel_mask=given, **asked)
    found = _run(model, jnp.asarray(images), mask=jnp.asarray(real))
    layers = len(out.encoder_attentions)
    last = f"encoder.{layers - 1}"
    read = out.encoder_hidden_states, out.encoder_attentions
    expected = dict(_named("encoder", "source_embedding", last, *read))
    # The objects begin as zeros, of which there is no share.
    written = out.decoder_hidden_states, out.decoder_attentions
    expected |= dict(_named("decoder", "target_embedding", "decoder_norm", *written))
    del expected["target_embedding"]
    expected |= {f"decoder.{i}.cross_attention": w for i, w in enumerate(out.cross_attentions)}
    expected |= {"boxes": out.pred_boxes, "logits": out.logits}
    values = _from_below({name: x.double().numpy() for name, x in expected.items()})
    return {**found._asdict(), **found.weights, **found.hidden}, values


def _of_towers(model: Any, theirs: Any, torch: Any) -> tuple[Values, Values]:
    """Returns what both towers say, of texts that end with an end mark."""
    config, images = theirs.config.text_config, _images(theirs.config.vision_config)
    vocab, eos = config.vocab_size, config.eos_token_id
    end = vocab - 1 if eos == 2 else eos  # So old configs have it; transformers then takes the highest id.
    lengths = np.minimum(LENGTHS, config.max_position_embeddings)
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.random.default_rng(0).integers(0, vocab - 1, mask.shape)
    tokens = np.where(tokens == end, (end + 1) % (vocab - 1), tokens)
    tokens[np.arange(len(lengths)), lengths - 1] = end
    ids, given = torch.tensor(tokens), torch.tensor(mask.astype(int))
    pixels, asked = torch.tensor(images), {"output_attentions": True, "output_hidden_states": True}
    out = theirs(input_ids=ids, pixel_values=pixels, attention_mask=given)
    towers = {
        "text": theirs.text_model(input_ids=ids, attention_mask=given, **asked),
        "image": theirs.vision_model(pixel_values=pixels, **asked),
    }
    pictures = jnp.asarray(images.transpose(0, 2, 3, 1))
    found = _run(model, pictures, jnp.asarray(tokens), lengths=jnp.asarray(lengths))
    ours = {**found._asdict(), **found.weights, **found.hidden}
    expected: Values = {}
    for part, tower in towers.items():
        last = f"blocks.{len(tower.attentions) - 1}"
        named = dict(_named("blocks", "embedding", last, tower.hidden_states, tower.attentions))
        kept = {
            name: _without_padding(x, mask) if part == "text" else x.double().numpy()
            for name, x in named.items()
        }
        expected |= {f"{part}.{name}": x for name, x in _from_below(kept).items()}
    heads = {"images": out.image_embeds, "texts": out.text_embeds, "logits": out.logits_per_image}
    return ours, expected | {name: x.double().numpy() for name, x in heads.items()}


def _images(config: Any) -> np.ndarray:
    """Returns drawn images (2, channels, height, width) of the size that a config has."""
    side, channels = config.image_size, config.num_channels
    height, width = (side, side) if isinstance(side, int) else side
    return np.random.default_rng(0).normal(size=(2, channels, height, width)).astype(np.float32)


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
    values |= {name: x.double().numpy() for name, x in (expected | {"logits": out.logits}).items()}
    return ours, _from_below(values)


_ANSWERS: dict[type, Any] = {
    LanguageModel: _of_tokens,
    Encoder: _of_tokens,
    VisionTransformer: _of_images,
    SwinTransformer: _of_stages,
    ContrastiveModel: _of_towers,
    Detr: _of_objects,
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
