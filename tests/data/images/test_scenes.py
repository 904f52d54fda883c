"""Drawn scenes and changes of images: captions read back from pixels, and what is drawn by seed and step."""

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.images.augment import augmented, mixed
from attnjax.data.images.config import AugmentConfig, SceneData
from attnjax.data.images.scenes import COLOURS, SHAPES, scenes
from attnjax.data.synthetic.questions import Split


@pytest.mark.parametrize("unseen", [False, True])
def test_a_caption_says_what_the_pixels_show(unseen: bool) -> None:
    made = scenes(SceneData(noise=0.0), 60, Split.TEST, unseen=unseen)
    for image, scene, owner in zip(made.images, made.shown, made.owner, strict=True):
        middles, kept = [], []
        for group, phrase in enumerate(scene.phrases, 1):
            count, colour, shape = phrase.split()
            own = owner == group
            painted = (image == COLOURS[colour]).all(-1) & own
            assert painted.any()
            assert not ((image == COLOURS[colour]).all(-1) & (owner == 0)).any()
            things = {"a": 1, "two": 2, "three": 3}[count]
            assert own.sum() == 36 * things  # Boxes of 6 × 6 pixels do not overlap.
            middles.append(np.argwhere(own).mean(0))
            name = next(name for name in SHAPES if shape.startswith(name))
            kept.append((list(COLOURS).index(colour) + SHAPES.index(name)) % 5 == 0)
        assert any(kept) == unseen
        far = middles[1] - middles[0]
        axis = 1 if scene.relation == "left of" else 0
        assert far[axis] >= 14
        assert abs(far[1 - axis]) <= 10  # No other relation could be said as well.


def test_words_are_said_of_the_group_that_they_describe() -> None:
    made = scenes(SceneData(), 20, Split.TRAIN)
    for scene in made.shown:
        for caption in scene.captions:
            regions = scene.regions(caption)
            words = caption.split()
            assert len(regions) == len(words)
            for group in (1, 2):
                own = [word for word, region in zip(words, regions, strict=True) if region == group]
                assert " ".join(own) == scene.phrases[group - 1]


def test_parts_differ_and_come_again() -> None:
    data = SceneData(kind="digits")
    first = scenes(data, 4, Split.TRAIN)
    np.testing.assert_array_equal(first.images, scenes(data, 4, Split.TRAIN).images)
    assert (first.images != scenes(data, 4, Split.TEST).images).any()
    seen = {scene.phrases for scene in scenes(data, 400, Split.TRAIN).shown}
    assert not seen & {scene.phrases for scene in scenes(data, 400, Split.TRAIN, unseen=True).shown}


def test_changes_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((8, 6, 6, 3)).astype(np.float32)
    flips = augmented(images, AugmentConfig(flip=0.5), 0, 3)
    turned = [bool((flips[i] == images[i, :, ::-1]).all()) for i in range(8)]
    assert all(t or (flips[i] == images[i]).all() for i, t in enumerate(turned))
    assert 0 < sum(turned) < 8
    moved = augmented(images, AugmentConfig(crop=1), 0, 3)
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    for own, given in zip(moved, wide, strict=True):
        places = [(y, x) for y in range(3) for x in range(3)]
        assert any((own == given[y : y + 6, x : x + 6]).all() for y, x in places)
    assert len({own[2:4, 2:4].tobytes() for own in moved - images}) > 1
    covered = augmented(images, AugmentConfig(cutout=0.5), 0, 3)
    hidden = (covered != images).any(-1)
    assert (covered[hidden] == 0.5).all()
    assert all(1 <= rows.any(1).sum() <= 3 and 1 <= rows.any(0).sum() <= 3 for rows in hidden)
    coloured = augmented(images, AugmentConfig(colour=0.2), 0, 3)
    assert (abs(coloured - images) <= 0.2 + 0.2 + 1e-6).all()
    assert (coloured != images).any((1, 2)).all()


def test_changes_depend_on_seed_and_step_alone() -> None:
    images = np.random.default_rng(0).random((4, 6, 6, 1)).astype(np.float32)
    config = AugmentConfig(crop=2, flip=0.5, colour=0.3, cutout=0.3)
    first = augmented(images, config, 1, 5)
    np.testing.assert_array_equal(first, augmented(images, config, 1, 5))
    assert (first != augmented(images, config, 1, 6)).any()
    assert (first != augmented(images, config, 2, 5)).any()
    assert augmented(images, AugmentConfig(), 1, 5) is images


def test_mixed_batches_mix_labels_as_images() -> None:
    labels = np.eye(4, dtype=np.float32)
    images = labels.reshape(4, 2, 2, 1)

    def of(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"images": images[rows], "labels": labels[rows]}

    made = mixed(of, np.arange(4), 4, 1.0, 0, 3)
    np.testing.assert_array_equal(made["images"].reshape(4, 4), made["labels"])
    np.testing.assert_allclose(made["labels"].sum(1), 1, rtol=1e-6)
    assert (made["labels"][made["labels"] > 0] < 1).any()
    some = mixed(of, np.array([2, 1]), 4, 1.0, 0, 3)
    np.testing.assert_array_equal(some["images"], made["images"][[2, 1]])
    np.testing.assert_array_equal(mixed(of, np.arange(4), 4, 0.0, 0, 1)["images"], images)


def test_settings_that_do_not_fit_are_refused() -> None:
    for made, fields, message in (
        (SceneData, {"kind": "x"}, "^data.kind is 'x': expected one of scenes, digits$"),
        (SceneData, {"examples": 0}, "^data.examples is 0: "),
        (SceneData, {"noise": -1.0}, "^data.noise is -1.0: it must be 0 or more$"),
        (AugmentConfig, {"flip": 2.0}, r"^data.augment.flip is 2.0: it must lie in \[0, 1\]$"),
        (AugmentConfig, {"crop": -1}, "^data.augment.crop is -1: "),
    ):
        with pytest.raises(InputError, match=message):
            made(**fields)
