"""`attnjax list mechanisms`, `attnjax show MECHANISM`, and the page of the documentation."""

import re
from pathlib import Path

import pytest

from attnjax import models
from attnjax.cli import main
from attnjax.mechanisms import Mechanism, table
from attnjax.mechanisms.describe import page

PAGE = Path(__file__).parents[2] / "docs" / "mechanisms.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run scripts/mechanisms.sh"


def test_it_says_by_which_setting_models_have_what_takes_no_tokens() -> None:
    layers = (
        PAGE.read_text().partition("## Layers that read a context")[2].partition("## Layers over depth")[0]
    )
    unsaid = []
    for part in layers.split("### `")[1:]:
        said = re.findall(r"`model\.(\w+)` (?:likewise|of (?:an?|the) `(\w+)`)", part)
        unsaid += [] if said else [part.partition("`")[0]]
        assert all(hasattr(getattr(models, config or "EncoderConfig"), field) for field, config in said)
    assert unsaid == ["co_attention"]


def test_the_list_has_them_all(capsys) -> None:
    assert main(["list", "mechanisms"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in table(Mechanism))


def test_a_mechanism_is_shown_with_paper_cost_options_and_gates(capsys) -> None:
    assert main(["show", "mesa"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "mesa: o_t = G_tᵀ (C_t + Λ)⁻¹ q_t",
        "https://arxiv.org/abs/2506.05233",
        "O(T·iterations·H·(H+V))",
        "causally only",
        "iterations: steps of conjugate gradients; H are exact (a whole number, 1 or more, default 30)",
        "ridge [K H], positive",
        "--model.mechanism mesa",
    ):
        assert text in shown


def test_masks_of_a_pattern_are_drawn(capsys) -> None:
    assert main(["show", "kda+window(size=2) & sink+neighborhood"]) == 0
    shown = capsys.readouterr().out
    assert "window(size=2), for 16 tokens:" in shown
    assert "\n· ■ ■ · · · · · · · · · · · · ·    · ■ ■ ■ · · ·" in shown
    assert "neighborhood(shape=[4, 4], window=[3, 3]), for 16 tokens:" in shown
    assert "kda: S_t" in shown


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softmx", "unknown experiment or mechanism 'softmx'; did you mean softmax"),
        ("copyng", "unknown experiment or mechanism 'copyng'; did you mean copying"),
        ("window(siz=3)", "window takes no option 'siz'; it takes size"),
    ],
)
def test_what_is_neither_is_one_clear_line(capsys, name: str, message: str) -> None:
    assert main(["show", name]) == 2
    assert message in capsys.readouterr().err
