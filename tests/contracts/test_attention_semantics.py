"""The semantics of attention (docs/semantics.md): every engine of every platform inherits one class.

The kernels of other libraries run on one platform each and refuse much of the contract, which the blockwise
engine then does in their place. tests/ops/test_kernels*.py hold them to what they accept, interpreted on the
CPU, and lower them for their platforms.
"""

import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

import attnjax as aj
from attnjax.ops.engines import choose
from tests.contracts.attention_bad_input import BadInput
from tests.contracts.attention_cases import small_blocks
from tests.contracts.attention_derivatives import Derivatives
from tests.contracts.attention_far_from_zero import FarFromZero
from tests.contracts.attention_parts import Parts
from tests.contracts.attention_values import Values
from tests.ops.test_kernels import INTERPRETED


class AttentionSemantics(Values, Derivatives, FarFromZero, Parts, BadInput):
    """Every line of the contract, by its number in the tests' names; a subclass names the engine.

    1 order · 2 masks · 3 causality by position · 4 rows without keys · 5 NaN at masked keys · 6 score
    functions at masked pairs · 7 precision · 8 dropout · 9 derivatives · 10 determinism · 11 bad input · 12
    far from 0. What does not depend on the engine (13 closures, 14 settings of JAX, 15 equality) has files of
    its own.
    """

    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch):
        monkeypatch.setattr(choose, "ENGINES", small_blocks())


class TestReference(AttentionSemantics):
    engine = "reference"


class TestBlockwise(AttentionSemantics):
    engine = "blockwise"


@pytest.mark.slow
class TestOneBlock(AttentionSemantics):
    engine = "one block"


@pytest.mark.parametrize(
    "engines", [["blockwise"], pytest.param(["reference", "one block"], marks=pytest.mark.slow)], ids=str
)
def test_9_shard_map_composes_forward_and_backward_over_four_devices(engines):
    """With every engine that takes any mask, in a process of its own: jax counts its devices once."""
    command = [sys.executable, "-m", "tests.contracts.attention_sharded", *engines]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
class TestChosen(AttentionSemantics):
    """Where all blocks are chosen, in lists of another order each; tests/ops/test_chosen.py has others."""

    engine = "chosen"
    # These call the engine by its name with masks that choose no blocks.
    test_9_gradients_reach_everything_and_equal_the_reference = None

    @pytest.mark.parametrize("normalizer", [aj.softmax()])
    def test_9_second_order_equals_finite_differences(self, normalizer):
        super().test_9_second_order_equals_finite_differences(normalizer)

    def attend(self, query, key, value, *, mask=None, **options):
        rows, blocks = -(-query.shape[-3] // 2), max(1, -(-key.shape[-3] // 3))
        lists = (jnp.arange(rows)[:, None] + jnp.arange(blocks)) % blocks
        every = aj.chosen_blocks(lists[None], (2, 3))
        if mask is None:
            mask = every
        elif isinstance(mask, aj.Mask):
            mask = every & mask
        elif jnp.asarray(mask).dtype == jnp.bool_:
            mask = every & aj.dense(mask)
        return super().attend(query, key, value, mask=mask, **options)


def test_every_line_of_the_semantics_is_held():
    """By a test of its number, or by the files that the line names."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "semantics.md").read_text()
    numbered = {n for name in dir(AttentionSemantics) for n in re.findall(r"(?<=_)\d+(?=_)", name)}
    lines = re.findall(r"^(\d+)\. (.*(?:\n   .*)*)", page, flags=re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, 16))
    for number, text in lines:
        files = re.findall(r"`(tests/[\w/]+\.py)`", text)
        assert number in numbered or files, text
        assert all((root / file).exists() for file in files), text


def test_every_engine_inherits_the_semantics():
    tested = {c.engine for c in AttentionSemantics.__subclasses__()}
    assert tested == set(small_blocks()) > set(choose.ENGINES)


def test_every_kernel_is_held_to_the_semantics_where_it_can_run():
    assert {*INTERPRETED, "cudnn"} == set(choose.KERNELS)  # cuDNN runs and lowers only beside a GPU.
