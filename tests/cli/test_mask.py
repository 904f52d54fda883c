"""`attnjax mask`: what it prints, what it writes, and what it refuses in one line with nothing written."""

import re

import pytest

from attnjax.cli import main

EXAMPLE = "causal() & (sliding_window(256, 0) | global_tokens([0]))"


@pytest.fixture
def mask(tmp_path, capsys, monkeypatch):
    """Runs the command in an empty directory: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments: (main(["mask", *arguments]), *capsys.readouterr())


def test_it_prints_the_numbers_and_the_map(mask, tmp_path):
    code, out, err = mask(EXAMPLE, "--length", "2048", "--block-q", "512", "--block-k", "512")
    assert (code, err) == (0, "")
    assert "2048 queries × 2048 keys: 11.8 % attend" in out
    assert "512 queries × 512 keys (" in out
    assert "9 of 16 blocks (56.2 %), 0 without evaluating the mask" in out
    assert "engine    blockwise" in out
    assert "▒ · · ·\n▒ ▒ · ·\n▒ ▒ ▒ ·\n▒ · ▒ ▒\n" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "beginning"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")]
)
def test_output_writes_a_picture_and_says_where(mask, tmp_path, name, beginning):
    code, out, _ = mask(
        "causal()", "--length=64", "--keys=32", "--block-q=8", "--block-k=8", "--output", name
    )
    assert code == 0
    assert out.endswith(f"\npicture: {name}\n")
    assert (tmp_path / name).read_bytes().startswith(beginning)


def test_batch_elements_have_lengths_of_their_own(mask):
    code, out, _ = mask("lengths(key=[1, 4])", "--length", "4", "--batch", "2", "--heads", "2")
    assert code == 0
    assert "62.5 % attend" in out


BAD = {
    "an unknown mask": ([EXAMPLE.replace("sliding", "slidin")], "did you mean sliding_window?"),
    "a wrong argument": (["causal(offsett=1)"], "unexpected keyword argument 'offsett'"),
    "a negative window": (["sliding_window(-1, 0)"], "left is -1"),
    "unparsable text": (["causal() &"], "at character 11: the text ends where a mask is expected"),
    "no mask": ([""], "cannot read the mask"),
    "code": (["__import__('os').abort()"], "expected a mask"),
    "no length": (["causal()", "--length", "0"], "--length is 0: expected a whole number, 1 or more"),
    "a negative length": (["causal()", "--length=-5"], "--length is -5"),
    "a length in words": (["causal()", "--length", "long"], "--length: invalid int value: 'long'"),
    "no keys": (["causal()", "--keys", "0"], "--keys is 0"),
    "empty blocks": (["causal()", "--block-q", "0"], "--block-q is 0"),
    "no heads": (["causal()", "--heads", "0"], "--heads is 0"),
    "too many blocks": (["causal()", "--length", "999999999"], "expected at most 16777216"),
    "too many heads": (["causal()", "--heads", "999999999"], "batch × heads × length is"),
    "segments of another length": (
        ["segments([0, 1])"],
        "segments query_ids has shape [2]: expected [1, 64]",
    ),
    "a length for each without --batch": (["lengths(key=[1, 2])"], "--batch sets the batch axes"),
    "another picture format": (["causal()", "--output", "a.gif"], "ends in .png or .svg or .pdf"),
    "no such folder": (["causal()", "--output", "no/a.png"], "there is no folder 'no'"),
    "a stray argument": (["causal()", "prefix(1)"], "unexpected argument 'prefix(1)'"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_in_one_line(mask, tmp_path, case):
    arguments, expected = BAD[case]
    given = any(a.startswith("--length") for a in arguments)
    code, out, err = mask(*arguments, *([] if given else ["--length", "64"]))
    assert (code, out) == (2, "")
    assert re.fullmatch(r"attnjax: error: [^\n]+\n", err), err
    assert expected in err
    assert not list(tmp_path.iterdir())


def test_it_needs_a_mask_and_a_length(mask):
    for arguments in ([], ["causal()"], ["--length", "4"]):
        code, _, err = mask(*arguments)
        assert code == 2
        assert "required: " in err


def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_printed(mask, tmp_path):
    (tmp_path / "a.png").mkdir()
    code, out, err = mask("causal()", "--length", "8", "--output", "a.png")
    assert (code, out) == (2, "")
    assert "that is a folder" in err
