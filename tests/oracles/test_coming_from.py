"""docs/coming_from.md: what its tables name exists on both sides, and what computes attention agrees."""

import importlib
import inspect
import os
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.cli.command_line import COMMANDS
from attnjax.models import LanguageModelConfig

os.environ.setdefault("KERAS_BACKEND", "jax")
torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")

PAGE = Path(__file__).parents[2] / "docs" / "coming_from.md"
ALIASES = {"aj": "attnjax", "F": "torch.nn.functional", "flex": "torch.nn.attention.flex_attention"}
NAMED = re.compile(r"`((?:aj|F|flex|torch|keras|transformers)\.[\w.]+)(?:\(([^`]*)\))?`")


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line[:1] == "|"]
    return [row for row in cells if "`" in "".join(row)]


def resolve(dotted: str):
    """The module, class or function of a dotted name."""
    first, _, rest = dotted.partition(".")
    package = ALIASES.get(first, first)
    pytest.importorskip(package, reason=f"{package} is not installed (extra: oracles)")
    found = importlib.import_module(package)
    for name in rest.split("."):
        if not hasattr(found, name):
            importlib.import_module(f"{found.__name__}.{name}")
        found = getattr(found, name)
    return found


def takes(function, keyword: str) -> bool:
    """Whether it has such a parameter; the docstring says so of what takes **settings, or is of C++."""
    try:
        known = inspect.signature(function).parameters
    except ValueError:
        known = {}
    return keyword in known or re.search(rf"\b{keyword}\b", function.__doc__ or "") is not None


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_what_a_row_names_exists_on_both_sides(row: list[str]) -> None:
    for name, arguments in NAMED.findall(" ".join(row[:2])):
        found = resolve(name)
        for keyword in re.findall(r"(\w+)=", re.sub(r"=[^,]*", "=", arguments)):
            assert takes(found, keyword), f"{name} takes no {keyword}"
    for command in re.findall(r"`attnjax (\w+)", row[1]):
        assert command in COMMANDS
    field, ours = (re.fullmatch(r"`(\w+)`", cell) for cell in row[:2])
    if field and ours:
        assert hasattr(resolve("transformers.LlamaConfig")(), field[1])
        assert hasattr(LanguageModelConfig(), ours[1])


def test_the_rows_are_read() -> None:
    names = {name for row in rows() for name, _ in NAMED.findall(" ".join(row))}
    assert {"F.scaled_dot_product_attention", "aj.causal", "keras.layers.GroupQueryAttention"} <= names
    with pytest.raises(ImportError):
        resolve("aj.models.no_such_name")
    assert not takes(aj.causal, "no_such_keyword")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"is_causal": True}, {"mask": aj.causal()}),
        ({"attn_mask": torch.ones(6, 8).tril(1).bool()}, {"mask": np.tri(6, 8, 1).astype(bool)}),
        ({"attn_mask": torch.arange(48.0).reshape(6, 8)}, {"bias": np.arange(48.0).reshape(6, 8)}),
        ({"attn_mask": "lower right"}, {"mask": aj.causal(8 - 6)}),
    ],
    ids=["plain", "causal", "boolean mask", "bias", "lower right"],
)
def test_attention_agrees_with_pytorch(theirs: dict, ours: dict) -> None:
    rng = np.random.default_rng(0)
    query, key, value = rng.normal(size=(2, 6, 4, 8)), *rng.normal(size=(2, 2, 8, 2, 8))
    if theirs.get("attn_mask") == "lower right":
        theirs = {"attn_mask": torch.nn.attention.bias.causal_lower_right(6, 8)._materialize()}
    tensors = (torch.tensor(np.swapaxes(x, 1, 2)) for x in (query, key, value))
    theirs = {
        name: x.double() if getattr(x, "dtype", None) == torch.float32 else x for name, x in theirs.items()
    }
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors, enable_gqa=True, **theirs)
    given = aj.attention(*map(jnp.asarray, (query, key, value)), **ours)
    np.testing.assert_allclose(given, expected.numpy().swapaxes(1, 2), atol=1e-10)
