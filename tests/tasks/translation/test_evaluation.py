"""The evaluation of outputs, without a model."""

import numpy as np
import pytest

from attnjax.data.text.example import Example
from attnjax.tasks.metrics.text import exact_match
from attnjax.tasks.translation import evaluation as evaluation_module
from attnjax.tasks.translation.alignment import Translation
from attnjax.tasks.translation.evaluation import evaluated


def translate(texts):
    return [Translation("x", list(text), ["x"], np.full((1, len(text)), 1 / len(text))) for text in texts]


@pytest.fixture
def undrawn(monkeypatch):
    """What a picture would show: the titles of its panels."""
    drawn = []
    monkeypatch.setattr(evaluation_module, "draw_alignments", lambda _, titles, path: drawn.extend(titles))
    return drawn


@pytest.fixture
def parts(undrawn):
    groups = {"de/long": "Mai", "ja/long": "年", "fr/long": "mai", "de/short": "."}
    names = 10 * list(groups)
    return {
        "a": [Example(f"{i} {groups[name]}", f"{i}", name) for i, name in enumerate(names)],
        "b": [Example(f"{i} juin", f"{i}", "fr/long") for i in range(3)],
    }


def outputs_of(parts, wrong=()):
    return {
        label: ["?" if (label, i) in wrong else example.target for i, example in enumerate(examples)]
        for label, examples in parts.items()
    }


def run(parts, outputs, folder):
    return evaluated(parts, outputs, columns={"exact": exact_match}, translate=translate, folder=folder)


def test_the_table_has_a_row_for_each_part(parts, tmp_path):
    outputs = outputs_of(parts, wrong={("a", 0), ("a", 1), ("b", 0)})
    metrics = run(parts, outputs, tmp_path).metrics
    assert metrics == {
        "a": {"exact": 95.0, "examples": 40},
        "b": {"exact": pytest.approx(200 / 3), "examples": 3},
    }


def test_samples_show_right_and_wrong_ones_of_each_part(parts, tmp_path):
    wrong = {("a", i) for i in range(20)}
    samples = run(parts, outputs_of(parts, wrong), tmp_path).samples
    of_a = [sample for sample in samples if sample["part"] == "a"]
    assert [sample["right"] for sample in of_a] == ["no"] * 3 + ["yes"] * 3
    for sample in samples:
        assert (sample["translation"] == sample["reference"]) == (sample["right"] == "yes")
    assert len(samples) == 6 + 3


def test_samples_come_from_as_many_groups_as_there_are(undrawn, tmp_path):
    parts = {"a": [Example(f"{i}", f"{i}", f"group {i // 5}") for i in range(25)]}
    samples = run(parts, outputs_of(parts), tmp_path).samples
    assert [sample["source"] for sample in samples[:6]] == ["0", "5", "10", "15", "20", "1"]


def test_a_dozen_samples_even_when_nothing_or_everything_is_wrong(parts, tmp_path):
    parts["b"] = parts["a"]
    everything = {(label, i) for label in parts for i in range(40)}
    for wrong in (set(), everything):
        assert len(run(parts, outputs_of(parts, wrong), tmp_path).samples) == 12


def test_the_breakdown_lists_groups_worst_first(parts, tmp_path):
    run(parts, outputs_of(parts, wrong={("a", 1), ("a", 5)}), tmp_path)
    lines = (tmp_path / "breakdown.tsv").read_text().splitlines()
    assert lines[:2] == ["part\tgroup\texamples\texact match %", "a\tja/long\t10\t80.0"]
    assert lines[2:] == [
        "a\tde/long\t10\t100.0",
        "a\tde/short\t10\t100.0",
        "a\tfr/long\t10\t100.0",
        "b\tfr/long\t3\t100.0",
    ]


def test_only_right_and_drawable_translations_are_drawn(parts, tmp_path, undrawn):
    wrong = {("a", i) for i in range(0, 40, 4)}
    assert run(parts, outputs_of(parts, wrong), tmp_path).figures == [tmp_path / "alignment.png"]
    assert sorted(set(undrawn)) == ["de/short", "fr/long"]
    assert len(undrawn) == 6


def test_the_longest_texts_that_fit_are_drawn_of_each_locale_first(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(evaluation_module, "draw_alignments", lambda chosen, *_: drawn.extend(chosen))
    texts = [("x" * n, "de/long") for n in (3, 41, 40, 5)] + [("y" * 4, "fr/long")]
    parts = {"a": [Example(text, text, group) for text, group in texts]}
    run(parts, outputs_of(parts), tmp_path)
    assert [len(translation.source_pieces) for translation in drawn] == [40, 4, 5, 3]


def test_without_a_right_translation_there_is_no_picture(parts, tmp_path):
    wrong = {(label, i) for label in parts for i in range(40)}
    assert run(parts, outputs_of(parts, wrong), tmp_path).figures == []
    assert not (tmp_path / "alignment.png").exists()
