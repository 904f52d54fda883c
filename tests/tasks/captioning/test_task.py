"""The captioning task: its loss by formula, what it reads, its table, pictures, and images that are none."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from attnjax.config import InputError
from attnjax.data.images.config import CaptionData
from attnjax.data.images.pictures import TRAIN, normalised, own_pictures
from attnjax.data.text.tokenizer import BOS, PAD
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.nn import Capture
from attnjax.tasks.captioning.caption import Caption, blended
from attnjax.tasks.captioning.config import CaptionLossConfig
from attnjax.tasks.captioning.pointing import by_word
from attnjax.tasks.captioning.task import CaptioningTask
from attnjax.tasks.captioning.texts import in_language
from attnjax.tasks.translation.config import SearchConfig

MODEL = CaptionerConfig(
    dim=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1, patch=20, implementation="reference"
)
DATA = CaptionData(kind="digits", examples=24, evaluation_examples=6)
LOSS = CaptionLossConfig(label_smoothing=0.1, doubly_stochastic=0.3)
RELATIONS = {"above", "below", "left", "right", "of"}
"""Words that are said of no region."""
BEAMS = SearchConfig(beams=2, n_best=2)


@pytest.fixture(scope="module")
def task() -> CaptioningTask:
    return CaptioningTask(DATA, MODEL, loss=LOSS, batch_size=4, search=BEAMS)


@pytest.fixture(scope="module")
def params(task: CaptioningTask):
    return jax.jit(task.init)(jax.random.key(0))


def test_a_batch_is_of_its_step_and_says_what_its_images_show(task: CaptioningTask) -> None:
    batch = task.batch(3)
    jax.tree.map(np.testing.assert_array_equal, batch, task.batch(3))
    assert (batch["source"] != task.batch(4)["source"]).any()
    assert batch["source"].shape == (4, 40, 40, 1)
    assert batch["source_lengths"].tolist() == [4] * 4
    part, drawn = task._parts[TRAIN], set()
    for step in range(20):
        for image, tokens in zip(*map(task.batch(step).get, ("source", "target")), strict=True):
            rows = [
                row for row in range(24) if (normalised(part.pixels[row] / np.float32(255)) == image).all()
            ]
            text = task.texts.tokenizer.decode(tokens[1:].tolist())
            assert text in part.captions[rows[0]]
            drawn.add(part.captions[rows[0]].index(text))
            assert tokens[0] == BOS
    assert drawn == {0, 1}


def test_the_loss_is_the_cross_entropy_of_tokens_and_the_penalty_of_their_weights(task, params) -> None:
    batch = task.batch(0)
    value, metrics = jax.jit(lambda p: task.loss(p, batch, dropout=None))(params)
    target, labels = batch["target"][:, :-1], batch["target"][:, 1:]
    model = task.model(params)
    output = jax.jit(lambda: model(batch["source"], batch["source_lengths"], target, capture=Capture()))()
    kept = labels != PAD
    smooth = optax.smooth_labels(jax.nn.one_hot(labels, output.logits.shape[-1]), 0.1)
    losses = np.asarray(optax.softmax_cross_entropy(output.logits, smooth), np.float64)
    looks = np.asarray(output.weights["decoder.0.cross_attention"], np.float64).mean(1)
    penalty, count = 0.0, 0
    for row in range(4):
        total = looks[row][kept[row]].sum(0)
        penalty += kept[row].sum() * np.mean((1 - total) ** 2)
        count += kept[row].sum()
    expected = losses[kept].mean() + 0.3 * penalty / count
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["doubly_stochastic"], penalty / count, rtol=1e-5)
    assert metrics["weight"] == count


def test_the_table_has_scores_pointing_and_rows_of_grey_images(task, params, tmp_path: Path) -> None:
    evaluation = task.evaluate(params, tmp_path)
    assert list(evaluation.metrics) == [
        "held-out scenes",
        "held-out scenes, in grey",
        "unseen combinations",
        "unseen combinations, in grey",
    ]
    scores = ["exact match %", "CIDEr-D", "BLEU-4", "ROUGE-L"]
    for name, row in evaluation.metrics.items():
        pointing = [] if "grey" in name else ["pointing %", "chance %"]
        assert list(row) == [*scores, *pointing, "examples"]
    assert [path.name for path in evaluation.figures] == ["captions.png"]
    lines = [line.split("\t") for line in (tmp_path / "words.tsv").read_text().splitlines()[1:]]
    for name in ("held-out scenes", "unseen combinations"):
        own = {word: (int(times), float(hit)) for part, word, times, hit, _ in lines if part == name}
        assert (
            own.keys()
            == {word for said in task._parts[name].captions for word in said[0].split()} - RELATIONS
        )
        shares, counts = [hit for _, hit in own.values()], [times for times, _ in own.values()]
        assert shares == sorted(shares)
        expected = evaluation.metrics[name]["pointing %"]
        assert np.average(shares, weights=counts) == pytest.approx(expected, abs=0.1)
    assert set(task.validate(params)) == {"exact_match", "cider"}
    assert task.monitor == ("exact_match", "max")


def in_region(owner: np.ndarray, region: int) -> np.ndarray:
    """Whether each of the four patches of 20 × 20 pixels holds a pixel of a region."""
    return np.array([(owner[y : y + 20, x : x + 20] == region).any() for y in (0, 20) for x in (0, 20)])


@pytest.mark.parametrize("group", [1, 2])
def test_the_pointing_game_is_of_the_first_caption_fed_back(task, params, monkeypatch, group: int) -> None:
    part = task._parts["held-out scenes"]
    # The weights are planted: every token looks at the first patch that shows one of the groups.
    first = [int(in_region(owner, group).argmax()) for owner in part.owner]
    looks = np.stack([np.tile(np.eye(4)[place], (task.texts.width - 1, 1)) for place in first])
    monkeypatch.setattr(task, "infer", lambda *_, **__: looks)
    hits, chance = [], []
    for owner, regions, place in zip(part.owner, part.regions, first, strict=True):
        for region in filter(None, regions):
            hits.append(in_region(owner, region)[place])
            chance.append(in_region(owner, region).mean())
    assert 0 < np.mean(hits) < 1
    found = task.pointing(params, part)
    assert [one.hit for one in found] == hits
    assert [one.chance for one in found] == pytest.approx(chance)
    said = zip(part.captions, part.regions, strict=True)
    words = [w for own, regions in said for w, r in zip(own[0].split(), regions, strict=True) if r]
    assert [one.word for one in found] == words


def test_captions_come_with_maps_of_their_words_and_write_pictures(task, params, tmp_path: Path) -> None:
    pixels = task._parts["held-out scenes"].pixels[0]
    Image.fromarray(pixels[..., 0]).save(tmp_path / "two.png")
    shown = task.read_input(str(tmp_path / "two.png"))
    assert shown.name == "two"
    np.testing.assert_array_equal(shown.pixels, pixels)
    (one,) = task.predict(params, [shown])
    assert len(one.ranked()) == 2
    assert one.text != one.others[0].text
    assert one.record()["n_best"][0]["caption"] == one.text == " ".join(one.words)
    assert one.maps.shape == (len(one.words), 2, 2)
    np.testing.assert_allclose(one.maps.sum((1, 2)), 1, rtol=1e-5)
    files = one.save(tmp_path)
    assert [file.name for file in files] == ["two.caption.png", "two.caption.html"]
    with Image.open(files[0]) as picture:
        assert picture.width > 100
    others = one.save(tmp_path, "{}-2".format)
    assert [file.name for file in others] == ["two-2.caption.png", "two-2.caption.html"]
    assert files[1].read_text().count("<img ") == 1 + len(one.words)


def test_words_of_a_page_are_escaped_and_the_heat_lies_where_weights_are(tmp_path: Path) -> None:
    image = np.full((4, 4, 1), 100, np.uint8)
    maps = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    page = Caption("<b>", image, ["<b>"], maps, "a&b")
    assert dataclasses.replace(page, maps=maps.astype(np.float32) / 3).details()["maps"][0][0] == [
        0.3333,
        0.0,
    ]
    assert "<h1>&lt;b&gt;</h1>" in page.save(tmp_path)[1].read_text()
    heat = blended(image, maps[0])
    assert (heat[:2, :2] == heat[0, 0]).all()
    assert (heat[2:] == 75).all()
    assert heat[0, 0, 0] > 150
    assert page.picture() == "<b>  row 1, column 1: 100 %"


def test_a_blind_model_reads_the_same_of_every_image(task) -> None:
    blind = CaptioningTask(dataclasses.replace(DATA, blind=True), MODEL, loss=LOSS, batch_size=4)
    source = blind.batch(0)["source"]
    assert (source == source[0, 0, 0]).all()
    np.testing.assert_array_equal(blind.batch(0)["target"], task.batch(0)["target"])


def test_own_images_are_split_by_their_captions_or_by_the_seed(tmp_path: Path) -> None:
    for number in range(10):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    coco = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(10)],
        "annotations": [{"image_id": i, "caption": f"number {i}"} for i in range(10)],
    }
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(coco))
    data = CaptionData(captions=path, images=tmp_path, holdout=0.2)
    parts, notes = own_pictures(data)
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "validation": 2, "test": 2}
    assert notes == []
    texts = [text for part in parts.values() for own in part.captions for text in own]
    assert sorted(texts) == [f"number {i}" for i in range(10)]
    small = dataclasses.replace(MODEL, image=4, patch=2)
    task = CaptioningTask(data, small, loss=LOSS, batch_size=2)
    assert task.monitor == ("cider", "max")
    assert task.batch(0)["source"].shape == (2, 4, 4, 3)
    task.save(tmp_path)
    again = CaptioningTask(data, small, loss=LOSS, batch_size=2, folder=tmp_path)
    assert again.texts.tokenizer.size == task.texts.tokenizer.size
    # The header is good; the end is missing.
    Image.new("RGB", (4, 4)).save(tmp_path / "3.png", "BMP")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:-10])
    with pytest.raises(InputError, match=r"1 of 10 images .*3.png: it is broken .*leave_out_broken leaves"):
        own_pictures(data)
    parts, notes = own_pictures(dataclasses.replace(data, leave_out_broken=True))
    assert sum(map(len, parts.values())) == 9
    assert "1 of 10 images" in notes[0]


def test_a_tag_asks_for_a_language(tmp_path: Path) -> None:
    words = {"<de>": "Nummer", "<en>": "number"}
    for number in range(10):
        Image.new("L", (4, 4), 20 * number).save(tmp_path / f"{number}.png")
    images = [
        {
            "filename": f"{number}.png",
            "split": "val" if number == 8 else "test" if number == 9 else "train",
            "sentences": [{"raw": f"{tag} {word} {number}"} for tag, word in words.items()],
        }
        for number in range(10)
    ]
    del images[9]["sentences"][0]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"images": images}))
    small = dataclasses.replace(MODEL, image=4, patch=2)
    data = CaptionData(captions=path, images=tmp_path)
    task = CaptioningTask(data, small, loss=LOSS, batch_size=4)
    assert task.texts.tags == ("<de>", "<en>")
    for tokens in task.batch(0)["target"]:
        tag, first, *_ = task.texts.tokenizer.names(tokens[1:].tolist())
        assert words[tag][0] in first
    test = in_language(task._parts["test"], "<en>")
    assert (test.captions, len(in_language(task._parts["test"], "<de>"))) == ([("number 9",)], 0)
    params = jax.jit(task.init)(jax.random.key(0))
    search = SearchConfig(prefix="<de>")
    task.search = search
    given = task.read_input(str(tmp_path / "3.png"))
    found = task._found(params, given.pixels[None], search)
    assert task.texts.tokenizer.names(found.tokens[0, 0, :1].tolist()) == ["<de>"]
    (one,) = task.predict(params, [given])
    assert "<de>" not in (one.text, *one.words)
    count = found.counts[0, 0]
    behind = task.texts.tokenizer.names(found.tokens[0, 0, 1:count].tolist())
    expected = by_word(found.alignment[0, 0, 1:count], behind)
    assert len(expected) > 0
    np.testing.assert_allclose(one.maps.reshape(len(expected), -1), expected, rtol=1e-6)
    assert len(one.maps) == len(one.words)
    task.save(tmp_path)
    assert CaptioningTask(data, small, loss=LOSS, batch_size=4, folder=tmp_path).texts.tags == task.texts.tags


def test_settings_and_images_that_do_not_fit_are_refused(task, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("x")
    made = {"loss": LOSS, "batch_size": 4}
    for call, message in (
        (lambda: task.read_input(str(tmp_path / "text.png")), "text.png: it is no image"),
        (lambda: CaptionData(captions=tmp_path), "data.captions and data.images come together"),
        (lambda: CaptionData(holdout=0.7), "data.holdout is 0.7"),
        (lambda: CaptionLossConfig(doubly_stochastic=-1.0), "loss.doubly_stochastic is -1.0: it must be"),
        (
            lambda: CaptioningTask(dataclasses.replace(DATA, max_length=4), MODEL, **made),
            "the caption '.*' has 6 tokens, data.max_length is 4",
        ),
        (
            lambda: CaptioningTask(DATA, MODEL, search=SearchConfig(coverage_penalty="wu"), **made),
            "search.coverage_penalty is 'wu'",
        ),
        (lambda: task.joined(None, [("other", task, None)]), "other: captions are written by one run alone"),
    ):
        with pytest.raises(InputError, match=message):
            call()
