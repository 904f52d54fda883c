"""`attnjax plan`: what it prints, as text and as JSON, and bad input in one line."""

import json

import pytest

SMALL = ["--model.dim", "16", "--model.hidden", "32", "--model.layers", "1", "--train.log_every", "2"]


def test_a_plan_says_what_a_training_takes(attnjax) -> None:
    code, out, _ = attnjax("plan", "copying", *SMALL, "--mesh", "data=1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "copying on 1 device: mesh data=1, rules replicated"
    assert any(line.startswith("blocks.*.feed_forward.up.kernel") and "[16, 32]" in line for line in lines)
    for chip in ("v5e", "v5p", "v6e", "H100", "H200"):
        assert any(line.startswith(f"1 × {chip}") and "yes, of" in line for line in lines)
    code, out, _ = attnjax("plan", "copying", *SMALL, "--mesh", "data=1", "--json")
    found = json.loads(out)
    assert (code, found["devices"], found["collectives"]) == (0, 1, [])
    kept = sum(array["parameter"] + array["optimizer"] for array in found["arrays"])
    assert kept == found["memory"]["state"]
    # Two moments for each parameter, in float32, and a few counters.
    assert 0 <= kept - 12 * found["parameters"] < 100
    assert found["expected"]["v5e"]["fits"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["copyin"], "unknown experiment 'copyin'"),
        (["copying", "--mesh", "dat=2"], "unknown axis 'dat'"),
        (["copying", "--mesh", "data=1", "--rules", "fdsp"], "unknown preset 'fdsp'"),
        (["copying", "--mesh", "model=1", "--model.heads", "0"], "model.heads is 0"),
    ],
)
def test_bad_input_is_one_line(attnjax, arguments: list[str], message: str) -> None:
    code, out, err = attnjax("plan", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
