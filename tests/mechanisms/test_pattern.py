"""Mechanisms as text: what is read, and one clear line for what is not."""

import pytest

from attnjax.config import InputError
from attnjax.mechanisms import over_layers, read


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("gla", ["gla"]),
        (" kda *3+ softmax ", ["kda", "kda", "kda", "softmax"]),
        ("window( size = 8 )&entmax(alpha=1.25)", ["window(size=8) & entmax(alpha=1.25)"]),
        ("neighborhood(shape=[4, 4], window=(3,3))", ["neighborhood(shape=[4, 4], window=[3, 3])"]),
        ("softcap(c=1e+1)*2", ["softcap(c=10.0)"] * 2),
        ("window | dilated(step=3)", ["(window | dilated(step=3))"]),
        ("sink&( window|dilated ) & prefix", ["sink & (window | dilated) & prefix"]),
        ("mesa(iterations=4)", ["mesa(iterations=4)"]),
    ],
)
def test_what_is_read_and_written_again(text: str, layers: list[str]) -> None:
    choices = read(text)
    assert [str(choice) for choice in choices] == layers
    assert read("+".join(layers)) == choices


def test_a_pattern_repeats_over_layers() -> None:
    names = [str(choice) for choice in over_layers(read("kda*3+softmax"), 6)]
    assert names == ["kda", "kda", "kda", "softmax", "kda", "kda"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widow(size=3)", r"unknown mechanism 'widow'; did you mean window\b"),
        ("zzz", "unknown mechanism 'zzz'; `attnjax list mechanisms` names them all"),
        ("window(siz=3)", "window takes no option 'siz'; it takes size"),
        ("kda(size=3)", "kda takes no option 'size'; it takes scale"),
        ("window(size=0)", "window: size is 0: expected a whole number, 1 or more"),
        ("window(size=2.5)", "window: size is 2.5: expected a whole number, 1 or more"),
        ("window(size=True)", "window: size is True: expected a whole number"),
        ("entmax(alpha=1)", "entmax: alpha is 1: expected a number, above 1, at most 4"),
        ("entmax(alpha='x')", "entmax: alpha is 'x': expected a number"),
        ("softcap(c=1e999)", "softcap: c is inf: expected a number"),
        ("softcap(c=1e39)", r"softcap: c is 1e\+39: expected a number, above 0, which 32 bits can hold"),
        ("rbf(gamma=1e-46)", "rbf: gamma is 1e-46: expected a number, above 0, which 32 bits can hold"),
        ("bigbird(size=2147483648)", "expected a whole number, 1 or more, which 32 bits can hold"),
        ("neighborhood(shape=[9, 4294967296])", "1 or more, which 32 bits can hold"),
        ("neighborhood(shape=4)", r"shape is 4: expected whole numbers in brackets, such as \[8, 8\]"),
        ("neighborhood(shape=[])", r"shape is \[\]: expected whole numbers in brackets"),
        ("window(3)", r"window\(3\): expected options by name, such as size=16"),
        ("window(size=)", r"window\(size=\): expected options by name"),
        ("window(size=3, size=4)", "expected options by name"),
        ("window(size=3)(size=4)", "expected options by name"),
        ("window(size=3", "expected a mechanism, such as gla or window"),
        ("", "'': expected a mechanism"),
        ("kda++softmax", "'': expected a mechanism"),
        ("kda*", r"'kda\*': expected MECHANISM\*LAYERS, 1 to 1000 layers"),
        ("kda*0", r"'kda\*0': expected MECHANISM\*LAYERS, 1 to 1000 layers"),
        ("kda*2*2", r"expected MECHANISM\*LAYERS"),
        ("kda*1000+softmax", "of 1001 layers, more than 1000"),
        ("window & kda", "kda stands alone in its layer"),
        ("softmax & window", "softmax stands alone in its layer"),
        ("entmax & sink", "entmax & sink: a layer has one normaliser"),
        (
            "window | dilated & sink",
            r"'window \| dilated': expected parentheses around masks",
        ),
        ("window | sink", r"sink is not joined by \|: only masks"),
        ("window | prefix", r"prefix is not joined by \|: only masks"),
        ("(window | dilated) & window", "window & dilated & window: a layer has each part once"),
        ("window & window(size=3)", "window & window: a layer has each part once"),
    ],
)
def test_a_bad_text_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(text, "model.mechanism")
    assert str(caught.value).startswith(f"model.mechanism is {text!r}: ")
    assert "\n" not in str(caught.value)
