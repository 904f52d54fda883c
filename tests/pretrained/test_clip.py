"""CLIP against transformers."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from attnjax.pretrained import from_pretrained
from attnjax.pretrained.verify import first_of, verify
from tests.pretrained import peers
from tests.pretrained.bugs import Bug, Values, every, exchanged, turned
from tests.pretrained.peers import (
    LENGTHS,
    LONGEST,
    MASK,
    TOLERANCE,
    VOCAB,
    Case,
    Ours,
    difference,
    loaded,
    saved,
    torch,
    uncaught,
)

END = VOCAB - 1
SIZES = {"intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "layer_norm_eps": 1e-2}
TEXT = SIZES | {"hidden_size": 24, "vocab_size": VOCAB, "max_position_embeddings": 8, "eos_token_id": END}
IMAGE = SIZES | {"hidden_size": 32, "image_size": 8, "patch_size": 4}
WEIGHTS: Mapping[str, Bug] = {
    "heads reversed": every("text.blocks.0.attention.key.kernel", lambda x: x[:, ::-1]),
    "query not transposed": every("image.blocks.0.attention.query.kernel", turned),
    "key and value exchanged": exchanged("attention.key.kernel", "attention.value.kernel"),
    "norms exchanged": exchanged("attention_residual.norm.scale", "feed_forward_residual.norm.scale"),
    "patches on their side": every("patches.project.kernel", lambda x: x.swapaxes(0, 1)),
    "no class token": every("class_token", np.zeros_like),
    "other temperature": every("scale", lambda x: x + (0.1 if x.ndim == 0 else 0)),
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "texts read both ways": {"text": {"causal": False}},
    "first token": {"text": {"pooling": "first"}},
    "GELU": {"image": {"activation": "gelu_exact"}},
    "no norm of patches": {"image": {"embedding_norm": False}},
}


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Images, and texts that end with an end mark."""
    draw = np.random.default_rng(1)
    tokens = draw.integers(3, END, (len(LENGTHS), LONGEST))
    tokens[np.arange(len(LENGTHS)), np.array(LENGTHS) - 1] = END
    return draw.normal(size=(2, 8, 8, 3)).astype("float32"), tokens


def of_tokens(name: str, x: np.ndarray) -> np.ndarray:
    """The rows of tokens of texts; those of padding are NaN."""
    return peers.of_tokens(x) if name.startswith("text.") else x


def answers(model: Any) -> Values:
    images, tokens = inputs()
    asked = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        pixels, ids = torch.tensor(images.transpose(0, 3, 1, 2)), torch.tensor(tokens)
        given = torch.tensor(MASK.astype(int))
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
    return {name: of_tokens(name, x.double().numpy()) for name, x in found.items()}


class OurTowers(Ours):
    """A model of images and texts of ours."""

    def answers(self, bug: Bug | None = None) -> Values:
        found = self.told(bug, *inputs(), lengths=np.array(LENGTHS))
        return {name: of_tokens(name, x) for name, x in found.items()}


class Towers(Case):
    """Two encoders, whose sizes stand in parts of the config."""

    sizes: ClassVar[Mapping[str, Any]] = {}


def test_family(tmp_path) -> None:
    """Logits, attention and vectors of both encoders, every bug, and the way back bit for bit."""
    fields = {"text_config": TEXT, "vision_config": IMAGE, "projection_dim": 10}
    case = Towers("CLIPModel", fields, SETTINGS, WEIGHTS, every_day=True)
    theirs = case.theirs()
    theirs.save_pretrained(tmp_path / "theirs")
    model = from_pretrained(tmp_path / "theirs")
    ours, expected = OurTowers(model, vocab=VOCAB), answers(theirs)
    size, where = difference(ours.answers(), expected)
    assert size <= TOLERANCE["float32"], where
    assert uncaught(ours, case, expected) == {}
    as_it_came, own = saved(model, "clip", tmp_path / "theirs", tmp_path)
    assert difference(answers(loaded(theirs, as_it_came)), expected)[0] == 0
    assert loaded(theirs, own).config.text_config.hidden_size == TEXT["hidden_size"]
    if peers.EVERYTHING:
        assert first_of(verify(as_it_came)) is None
