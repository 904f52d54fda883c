"""What a mechanism is called with, and in which order it reads: declared, shown, and refused elsewhere."""

from collections.abc import Iterator

import pytest

from attnjax.cli import main
from attnjax.config import InputError
from attnjax.mechanisms import Layer, catalogue, register
from attnjax.mechanisms.base import TAKES, Mechanism, Takes
from attnjax.models.config import LanguageModelConfig, TransformerConfig


@pytest.fixture(autouse=True)
def rows() -> Iterator[None]:
    before = dict(catalogue._TABLE)
    for takes in TAKES:
        register(Layer(name=f"of_{takes}", formula="x", target="builtins:len", takes=takes, cost="O(T)"))
    register(Layer(name="both_ways", formula="x", target="builtins:len", two_sided_only=True))
    yield
    catalogue._TABLE.clear()
    catalogue._TABLE.update(before)


@pytest.mark.parametrize("takes", TAKES)
def test_a_model_and_the_checks_refuse_what_takes_no_tokens(takes: Takes, capsys) -> None:
    name, told = f"of_{takes}", f"of_{takes} takes {TAKES[takes]}, and here it is given tokens"
    if takes == "tokens":
        assert LanguageModelConfig(mechanism=name).mechanism == name
        return
    with pytest.raises(InputError, match=f"^model.mechanism is 'softmax[+]{name}': {told}$"):
        LanguageModelConfig(mechanism=f"softmax+{name}")
    assert main(["check", name]) == 2
    assert capsys.readouterr().err.strip().endswith(f"mechanism is '{name}': {told}")


@pytest.mark.parametrize("config", [LanguageModelConfig, TransformerConfig])
def test_a_causal_model_refuses_what_reads_both_ways_only(config: type) -> None:
    with pytest.raises(InputError, match="'both_ways': both_ways reads both ways only, but a decoder is"):
        config(mechanism="both_ways")


def test_they_are_listed_and_shown_apart(capsys) -> None:
    assert main(["list", "mechanisms"]) == 0
    listed = capsys.readouterr().out
    for heading, name in {"layers of graphs": "of_graph", "layers that pool a set": "of_pool"}.items():
        assert name in listed.partition(f"{heading}:\n")[2].partition("\n\n")[0]
    assert main(["show", "of_image"]) == 0
    shown = capsys.readouterr().out
    assert "cost:     O(T) for a head in T places of an image" in shown
    assert "takes:    images" in shown
    assert 'use:      attnjax.nn.make_attention("of_image", ' in shown
    assert "decodes" not in shown
    assert main(["show", "both_ways"]) == 0
    assert "reads:    both ways only" in capsys.readouterr().out


def test_a_row_that_takes_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="mine takes 'video': expected one of tokens, context, pool, image"):
        Mechanism(name="mine", formula="", target="", takes="video")  # type: ignore[arg-type]
