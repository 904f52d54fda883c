"""Masks read from text: what is understood, and that nothing else is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.config import InputError
from attnjax.explain.masks.expression import MASKS, read_mask
from attnjax.ops import masks

READ = {
    "causal()": aj.causal(),
    "causal() & sliding_window(2, 0) | global_tokens([0])": aj.causal() & aj.sliding_window(2, 0)
    | aj.global_tokens([0]),
    "causal() & (sliding_window(2, 0) | global_tokens([0]))": aj.causal()
    & (aj.sliding_window(2, 0) | aj.global_tokens([0])),
    "~prefix(3)": ~aj.prefix(3),
    "~~causal(offset=-2)": aj.causal(-2),
    "  sliding_window(left=1,\n right=+2)": aj.sliding_window(1, 2),
    "lengths(key=7, query=None)": aj.lengths(key=7),
    "segments([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])": aj.segments(jnp.arange(12) // 6),
    "neighborhood((3, 4), window=(1, 2))": aj.neighborhood((3, 4), (1, 2)),
    "dense([[True, False, True, True, True, True, True, True, True, True, True, False]])": aj.dense(
        jnp.array([[True, False, *[True] * 9, False]])
    ),
    f"interval({[0] * 12}, stop={[1] * 12})": aj.interval(jnp.zeros(12, int), jnp.ones(12, int)),
    "blocks([[True, False], [False, True]], (6, 6))": aj.blocks(np.eye(2) > 0, 6),
    f"relabel(causal() & ~prefix(1), {list(range(11, -1, -1))})": aj.relabel(
        aj.causal() & ~aj.prefix(1), np.arange(12)[::-1]
    ),
    "random_blocks(3, 2, count=1)": aj.random_blocks(jax.random.key(3), 2, 1),
    "chunked_causal(4) | dilated(5) | block_diagonal(2)": aj.chunked_causal(4)
    | aj.dilated(5)
    | aj.block_diagonal(2),
}

REFUSED = {
    "": "character 1: the text ends where a mask is expected",
    "causal() &": "character 11: the text ends where a mask is expected",
    "causal() prefix(2)": "character 10: invalid syntax",
    "causal() & | prefix(2)": "character 12: invalid syntax",
    "causal(": "character 7: '(' was never closed",
    "causal() & (prefix(2)))": "character 23: unmatched ')'",
    "casual()": "character 1: unknown mask 'casual'; did you mean causal",
    "causal() | windw(3, 0)": "character 12: unknown mask 'windw'",
    "xyz()": "; there are block_diagonal, blocks, causal",
    "causal": "causal lacks its arguments: causal(offset=0)",
    "causal() and prefix(2)": "joined by & | ~ and parentheses only",
    "not causal()": "joined by & | ~",
    "causal() + prefix(2)": "joined by & | ~",
    "causal() < prefix(2)": "expected a mask, such as causal(), got causal() < prefix(2)",
    "3": "expected a mask",
    "-causal()": "expected a mask",
    "causal().draw(4)": "expected a mask",
    "aj.causal()": "expected a mask",
    "(lambda: causal())()": "expected a mask",
    "__import__('os').system('true')": "expected a mask",
    "Mask()": "unknown mask 'Mask'",
    "open('x')": "unknown mask 'open'",
    "causal(open('x'))": "an argument is a whole number, a string or a list, not open('x')",
    "prefix(10 ** 9)": "an argument is a whole number",
    "prefix(n for n in [1])": "an argument is a whole number",
    "prefix(*[1])": "an argument is a whole number",
    "prefix(**{'n': 1})": "** is not read",
    "prefix(2.5)": "an argument is a whole number",
    "prefix(n := 3)": "an argument is a whole number",
    "relabel(3, [0])": "character 9: expected a mask",
    "causal(prefix(1))": "an argument is a whole number",
    "predicate(len)": "predicate takes a function",
    "causal(offsett=1)": "unexpected keyword argument 'offsett' (it is causal(offset=0))",
    "sliding_window(3)": "missing 1 required positional argument: 'right'",
    "causal() ^ prefix(1)": "joined by",
    "causal() | sliding_window(-1, 0)": "character 12: sliding_window(-1, 0): left is -1: a window",
    "sliding_window('a', 0)": "left is 'a': expected a Python int",
    "global_tokens(5)": "global_tokens(5): ",
    "global_tokens(['a'])": "global_tokens(['a']): ",
    "segments('abc')": "segments('abc'): ",
    "dense([[1, 0]])": "expected bool",
    "neighborhood((2, 3), 4)": "expected 1 to the axis' length",
    "random_blocks('a', 1, 1)": "seed is 'a'",
    "causal(99999999999999)": "character 8: a number beyond",
    "causal(\0)": "",
    "~" * 150 + "causal()": "nested deeper than 100",
    "~" * 100_000 + "causal()": "",
    "segments(" + "[" * 150 + "]" * 150 + ")": "nested deeper than 100",
}


@pytest.mark.parametrize("text", READ)
def test_text_reads_as_the_mask_that_python_makes_of_it(text):
    size = 12
    got, want = (m.materialize(size) for m in (read_mask(text), READ[text]))
    np.testing.assert_array_equal(got, want)


def test_every_public_mask_can_be_written_but_a_predicate():
    assert set(MASKS) == set(masks.__all__) - {"Mask", "predicate"}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40] or "nothing")
def test_anything_else_is_refused_with_its_position(text):
    with pytest.raises(InputError) as caught:
        read_mask(text)
    assert REFUSED[text] in str(caught.value)
    assert str(caught.value).startswith("cannot read the mask")


def test_a_position_counts_characters_of_the_text_as_given():
    with pytest.raises(InputError, match="at character 14: unknown mask 'x'"):
        read_mask(" \n causal() |x()")
    with pytest.raises(InputError, match=r"at character 8: an argument .* not é"):
        read_mask("prefix(é)")
    with pytest.raises(InputError, match=r"at character 13: an argument .* not x"):
        read_mask("prefix('é', x)")
