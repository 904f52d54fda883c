"""CLIP against transformers."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import ContrastiveModel
from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.table import parameters
from attnjax.pretrained.tensors import open_tensors
from tests.pretrained.peers import (
    CAUGHT,
    LENGTHS,
    LONGEST,
    TOLERANCE,
    VOCAB,
    Bug,
    Values,
    boosted,
    difference,
    every,
    exchanged,
    state_of,
    torch,
    transformers,
    turned,
)

END = VOCAB - 1
SIZES = {"intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "layer_norm_eps": 1e-2}
TEXT = SIZES | {"hidden_size": 24, "vocab_size": VOCAB, "max_position_embeddings": 8, "eos_token_id": END}
IMAGE = SIZES | {"hidden_size": 32, "image_size": 8, "patch_size": 4}
WEIGHTS: dict[str, Bug] = {
    "heads reversed": every("text.blocks.0.attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("image.blocks.0.attention.query.kernel", turned),
    "key and value exchanged": exchanged("attention.key.kernel", "attention.value.kernel"),
    "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
    "patches on their side": every("patches.project.kernel", lambda x: x.swapaxes(0, 1)),
    "no class token": every("class_token", np.zeros_like),
    "other temperature": every("scale", lambda x: x + (0.1 if x.ndim == 0 else 0)),
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "texts read both ways": {"text": {"causal": False}},
    "first token": {"text": {"pooling": "first"}},
    "GELU": {"image": {"activation": "gelu_exact"}},
    "no norm of patches": {"image": {"embedding_norm": False}},
}


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Images, and texts that end with an end mark."""
    draw = np.random.default_rng(1)
    tokens = draw.integers(3, END, (len(LENGTHS), LONGEST))
    tokens[np.arange(len(LENGTHS)), np.array(LENGTHS) - 1] = END
    return draw.normal(size=(2, 8, 8, 3)).astype("float32"), tokens


def of_tokens(name: str, x: Any) -> np.ndarray:
    """The rows of tokens of texts; those of padding are NaN."""
    x = np.array(x, np.float64)
    if name.startswith("text."):
        for row, length in zip(x, LENGTHS, strict=True):
            row[..., length:, :] = np.nan
    return x


def answers(model: Any) -> Values:
    images, tokens = inputs()
    mask = np.arange(LONGEST) < np.array(LENGTHS)[:, None]
    asked = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        pixels, ids = torch.tensor(images.transpose(0, 3, 1, 2)), torch.tensor(tokens)
        given = torch.tensor(mask.astype(int))
        out = model(input_ids=ids, pixel_values=pixels, attention_mask=given)
        towers = {
            "text": model.text_model(input_ids=ids, attention_mask=given, **asked),
            "image": model.vision_model(pixel_values=pixels, **asked),
        }
    found = {"logits": out.logits_per_image, "images": out.image_embeds, "texts": out.text_embeds}
    for part, tower in towers.items():
        names = ["embedding", "blocks.0", "blocks.1"]
        found |= {f"{part}.{n}": x for n, x in zip(names, tower.hidden_states, strict=True)}
        found |= {f"{part}.blocks.{i}.attention": w for i, w in enumerate(tower.attentions)}
    return {name: of_tokens(name, x.numpy()) for name, x in found.items()}


class Ours:
    """Our model, whose program is compiled once for all its parameters."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph, self.state = nnx.split(model)
        self._run = jax.jit(
            lambda state, images, tokens, lengths: nnx.merge(self.graph, state)(
                images, tokens, lengths=lengths, capture=Capture(hidden=True)
            )
        )

    def answers(self, bug: Bug | None = None) -> Values:
        state = self.state
        if bug is not None:
            values = {name: np.array(param[...]) for name, param in parameters(self.model).items()}
            state = state_of(self.model, bug(values))
        out = self._run(state, *map(jnp.asarray, inputs()), jnp.array(LENGTHS))
        found = {"logits": out.logits, "images": out.images, "texts": out.texts, **out.weights, **out.hidden}
        return {name: of_tokens(name, x) for name, x in found.items()}

    def with_settings(self, changes: dict[str, dict[str, Any]]) -> "Ours":
        """The same parameters in a model of another config."""
        config = self.model.config
        parts = {name: dataclasses.replace(getattr(config, name), **own) for name, own in changes.items()}
        other = ContrastiveModel(dataclasses.replace(config, **parts), vocab=VOCAB, rngs=nnx.Rngs(0))
        for name, param in parameters(other).items():
            param[...] = parameters(self.model)[name][...]
        return Ours(other)


def test_family(tmp_path) -> None:
    """Logits, attention and vectors of both encoders, every bug, and the way back bit for bit."""
    made = transformers.CLIPConfig(
        text_config=TEXT, vision_config=IMAGE, projection_dim=10, attn_implementation="eager"
    )
    theirs = boosted(transformers.CLIPModel(made)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = Ours(model), answers(theirs)
    size, where = difference(ours.answers(), expected)
    assert size <= TOLERANCE["float32"], where
    found = {bug: difference(ours.answers(plant), expected) for bug, plant in WEIGHTS.items()}
    for bug, changes in SETTINGS.items():
        found[bug] = difference(ours.with_settings(changes).answers(), expected)
    assert {bug: at for bug, at in found.items() if not at[0] > CAUGHT} == {}
    save_pretrained(model, tmp_path / "ours")
    model.origin = None  # As one of ours that a family is to be found for.
    save_pretrained(model, tmp_path / "own", family="clip")
    before = open_tensors(tmp_path / "theirs")
    for folder in ("ours", "own"):
        after = open_tensors(tmp_path / folder)
        assert {k: x.tobytes() for k, x in before.items()} == {k: x.tobytes() for k, x in after.items()}
        _, loading = transformers.CLIPModel.from_pretrained(
            tmp_path / folder, output_loading_info=True, attn_implementation="eager"
        )
        assert not any(loading.values())
    assert from_pretrained(tmp_path / "own").config.filled() == model.config.filled()
