"""Maps of texts: rows and columns are the right tokens, a row of a decoder chose its token."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.explain import ask, attribute, of_text
from attnjax.explain.of_text import Reader, explained
from attnjax.explain.saliencies import USUAL
from attnjax.explain.target import Target
from attnjax.models import LanguageModel, LanguageModelConfig, Transformer, TransformerConfig, alignment
from attnjax.models.decoding.text import TextModel
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.nn import Capture

LETTERS = "abcdefghijklmnop"
ENDS = (15,)


def ids(text: str) -> list[int]:
    return [LETTERS.index(letter) for letter in text]


def letters(tokens) -> str:
    return "".join(LETTERS[token] for token in tokens)


def lively(model):
    """With matrices so large that its weights differ."""
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 4.0 * leaf if leaf.ndim > 1 else leaf, state))
    return model


@pytest.fixture(scope="module")
def decoder() -> TextModel:
    config = LanguageModelConfig(dim=8, heads=2, layers=2, positions="learned", max_length=12)
    return TextModel(lively(LanguageModel(config, vocab=16, rngs=nnx.Rngs(0))), ids, letters, eos=ENDS)


@pytest.fixture(scope="module")
def both() -> TextModel:
    config = TransformerConfig(dim=8, heads=2, encoder_layers=1, decoder_layers=2)
    model = lively(Transformer(config, source_vocab=16, target_vocab=16, rngs=nnx.Rngs(3)))
    upper = {"written_names": lambda tokens: list(letters(tokens).upper())}
    return TextModel(model, ids, letters, eos=ENDS, bos=0, **upper)


def test_a_row_of_a_decoder_only_model_chose_the_token_after_it(decoder: TextModel) -> None:
    found = explained(decoder, "abc", max_tokens=4)
    assert len(found.written) == 4
    for layer, shown in enumerate(found.maps):
        assert shown.name == f"blocks.{layer}.attention"
        assert "".join(shown.rows) == "".join(shown.columns) == "abc" + "".join(found.written[:-1])
        assert np.allclose(shown.weights.sum(-1), 1)
        assert (np.triu(shown.weights, 1) == 0).all()
        assert shown.first_written == 2
    model: LanguageModel = decoder.model
    logits = nnx.jit(lambda model, tokens: model(tokens).logits[0])(
        model, jnp.array([ids("".join(found.maps[0].rows))])
    )
    assert letters(jnp.argmax(logits, axis=-1)[2:].tolist()) == "".join(found.written)
    only_read = explained(decoder, "abc")
    assert (only_read.written, only_read.maps[0].first_written) == ([], None)
    assert np.allclose(only_read.maps[1].weights, found.maps[1].weights[:, :3, :3], atol=1e-6)


def test_a_row_of_an_encoder_decoder_has_the_name_of_the_token_that_it_chose(both: TextModel) -> None:
    found = explained(both, "hgfe", max_tokens=5)
    maps = {shown.name: shown for shown in found.maps}
    assert list(maps) == [
        "encoder.0.attention",
        *(f"decoder.{i}.{kind}_attention" for i in range(2) for kind in ("cross", "self")),
    ]
    own, cross = maps["decoder.1.self_attention"], maps["decoder.1.cross_attention"]
    wrote = "".join(found.written)
    assert "".join(own.rows) == "".join(cross.rows) == wrote == wrote.upper()
    assert "".join(own.columns) == "A" + wrote[:-1]
    assert ("".join(cross.columns), cross.first_written) == ("hgfe", 0)
    assert maps["encoder.0.attention"].first_written is None
    tokens = jnp.array([ids(wrote.lower())])
    aligned = nnx.jit(lambda model, *asked: alignment(model, *asked, bos=0, layers=(1,)))
    mean = aligned(both.model, jnp.array([ids("hgfe")]), jnp.array([4]), tokens)
    assert np.allclose(cross.weights.mean(0), mean[0], atol=1e-6)


def test_an_encoder_reads_only_and_a_capture_chooses_layers_and_heads() -> None:
    config = EncoderConfig(dim=8, heads=2, layers=2)
    reader = Reader(Encoder(config, vocab=16, rngs=nnx.Rngs(0)), ids, lambda tokens: list(letters(tokens)))
    found = explained(reader, "badc", max_tokens=9, capture=Capture((1,), (1,)))
    (shown,) = found.maps
    assert (shown.name, shown.heads, shown.weights.shape) == ("blocks.1.attention", (1,), (1, 4, 4))
    assert ("".join(shown.rows), found.written) == ("badc", ())
    assert explained(reader, "abc", methods=None).saliencies == []  # It has no classes.


def test_what_cannot_be_shown_is_one_line(decoder: TextModel, both: TextModel, monkeypatch) -> None:
    for make, message in [
        (lambda: explained(decoder, ""), "'' has no tokens"),
        (lambda: explained(decoder, "abcdefgh", max_tokens=9), r"positions has 12 rows .*'abcdefgh' has 8"),
        (
            lambda: explained(decoder, "abc", capture=Capture(layers=(7,))),
            r"capture\.layers \(7,\): there are 2",
        ),
        (lambda: explained(both, "abc"), "max_tokens is 0: an encoder-decoder attends"),
        (lambda: explained(decoder, "abc", capture=Capture(layers=())), "no layer has attention weights"),
    ]:
        with pytest.raises(InputError, match=message):
            make()
    monkeypatch.setattr(of_text, "MOST_BYTES", 100)
    with pytest.raises(InputError, match="3 tokens: the weights of 2 layers × 2 heads are"):
        explained(decoder, "abc")


def test_a_tokenizer_of_a_model_names_its_tokens_and_adds_none(tmp_path: Path) -> None:
    """The file of all-MiniLM-L6-v2 says that texts are filled up and cut off."""
    words = {"[PAD]": 0, "jump": 1, "##s": 2, "▁high": 3, "high": 4}
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    fill = {
        "strategy": {"Fixed": 4},
        "direction": "Right",
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    fill["pad_to_multiple_of"] = None
    model = {"type": "WordPiece", "unk_token": "[PAD]", "continuing_subword_prefix": "##", "vocab": words}
    model["max_input_chars_per_word"] = 100
    special = {"id": 0, "content": "[PAD]", "special": True}
    special |= dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    none = dict.fromkeys(("normalizer", "post_processor"))
    parts = {"pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": {"type": "WordPiece", "prefix": "##"}}
    parts["decoder"]["cleanup"] = False
    whole = {"version": "1.0", "truncation": cut, "padding": fill, "added_tokens": [special], "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole | none | parts))
    tokenizer = PretrainedTokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.encode("jumps") == [1, 2]
    assert tokenizer.encode("jumps high high") == [1, 2, 4, 4]
    assert tokenizer.names([1, 2, 3, 0]) == ["jump", "##s", " high", "[PAD]"]


@pytest.mark.parametrize("methods", [("occlusion",), pytest.param(None, marks=pytest.mark.slow)])
def test_each_written_token_has_scores_by_every_method_that_fits(decoder: TextModel, methods) -> None:
    found = explained(decoder, "abc", max_tokens=2, methods=methods)
    assert [each.method for each in found.saliencies] == list(methods or USUAL)
    for each in found.saliencies:
        assert "".join(each.tokens) == "abc" + found.written[0]
        assert each.scores.shape == (2, 4)
        assert each.scores[0, 3] == 0  # It did not stand there yet.
        row = each.faithfulness["naopc"]
        assert (row.oracle, 0 <= row.value <= 1) == (1, True)
        assert each.faithfulness["comprehensiveness"].oracle >= each.faithfulness["comprehensiveness"].value
    fed = [*ids("abc"), *ids(found.written[0])]
    place = Target(ids(found.written[1])[0], "probability", 3)
    alone = attribute("occlusion", ask(decoder.model, jnp.array([fed]), target=place)).scores
    (occlusion,) = (each for each in found.saliencies if each.method == "occlusion")
    assert np.allclose(occlusion.scores[1], alone[0], atol=1e-6)


@pytest.mark.slow
def test_tokens_of_an_encoder_decoder_have_scores_of_the_source(both: TextModel) -> None:
    found = explained(both, "hgf", max_tokens=2, methods=("gradient_x_input",))
    (only,) = found.saliencies
    assert ("".join(only.tokens), only.scores.shape) == ("hgf", (len(found.written), 3))
