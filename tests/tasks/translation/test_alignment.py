"""The pictures of attention."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from attnjax.tasks import pictures
from attnjax.tasks.translation.alignment import Translation, draw_alignments, drawable, terminal_map
from tests.daily import daily


def translation(source="2 мая", target="05", seed=0):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(source)), len(target))
    return Translation(target, list(source), list(target), weights, "layer 2 of 2, the mean of its 4 heads")


@pytest.fixture(autouse=True)
def png_alone() -> None:
    """Here all formats are drawn."""


@pytest.mark.parametrize("count", daily([1, 3, 6], [3]))
def test_the_png_has_a_panel_for_each_translation(tmp_path, count):
    path = tmp_path / "alignment.png"
    draw_alignments([translation(seed=i) for i in range(count)], [f"sample {i}" for i in range(count)], path)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[1] > pixels.shape[0] / 2
    assert pixels[..., :3].std() > 0.05
    assert {file.suffix for file in tmp_path.iterdir()} == {".png", ".svg", ".pdf"}


def test_weights_are_written_with_four_digits():
    rounded = Translation("b", ["x", "y"], ["b"], np.float32([[2 / 3, 1 / 3]])).details()
    assert rounded["alignment"] == [[0.6667, 0.3333]]


def test_a_heat_map_has_the_source_across_and_the_translation_down(monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: figures.append(figure))
    drawn = {"one": translation("abc", "xy"), "two": translation("de", "z", seed=1)}
    draw_alignments(list(drawn.values()), list(drawn), Path("unused.png"))
    assert figures[0].get_suptitle().endswith("\nlayer 2 of 2, the mean of its 4 heads")
    for panel, (title, expected) in zip(
        figures[0].axes, drawn.items(), strict=False
    ):  # The colour bar is left.
        assert panel.get_title(loc="left") == title
        np.testing.assert_array_equal(panel.images[0].get_array(), expected.alignment)
        assert [label.get_text() for label in panel.get_xticklabels()] == expected.source_pieces
        assert [label.get_text() for label in panel.get_yticklabels()] == expected.target_pieces


def test_only_what_the_font_has_is_drawable():
    assert drawable("Пятница, 2 Φεβρουαρίου <es> ž")
    assert not drawable("2003年2月1日")


def test_the_terminal_map_darkens_with_the_weight():
    lines = terminal_map(Translation("ab", ["x", "y", "z"], ["a", "b"], np.array([[1, 0, 0], [0, 0.6, 0.3]])))
    assert lines.splitlines() == ["   xyz", "a │█  │", "b │ ▓▒│"]


def test_the_terminal_map_keeps_its_columns_under_wide_and_broken_characters():
    weights = np.array([[0.0, 1.0, 0.0]])
    lines = terminal_map(Translation("a", ["年", "\n", "b"], ["a"], weights)).splitlines()
    assert lines == ["   年\ufffdb", "a │  █ │"]
    tagged = terminal_map(Translation("a", ["<es>", "1"], ["a"], np.array([[1.0, 0.0]]))).splitlines()
    assert tagged == ["   <es>1", "a │████ │"]
