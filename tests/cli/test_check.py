"""`attnjax check MECHANISM`."""

import pytest


@pytest.mark.slow
def test_prints_what_was_measured_and_fails_for_what_failed(attnjax) -> None:
    code, out, _ = attnjax("check", "gla", "--only", "future", "batch order")
    assert code == 0
    assert "No output depends" in out
    assert out.count("passed") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["glaa"], "unknown mechanism 'glaa'; did you mean gla?"),
        (["gla", "--only", "futur"], "--only 'futur': expected some of future, padding"),
        (["kda*3+softmax"], "expected that of one layer, not of 4"),
    ],
)
def test_bad_input_is_one_line(attnjax, arguments: list[str], message: str) -> None:
    code, _, err = attnjax("check", *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
