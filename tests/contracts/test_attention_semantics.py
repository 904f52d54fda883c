"""The semantics of attention (api.md): every engine that runs on every platform inherits one class.

The kernels of other libraries run on one platform each and refuse much of the contract, which the blockwise
engine then does in their place. tests/ops/test_kernels*.py hold them to what they accept, interpreted on the
CPU, and lower them for their platforms.
"""

import pytest

from attnjax.ops.engines import choose
from tests.contracts.attention_bad_input import BadInput
from tests.contracts.attention_cases import small_blocks
from tests.contracts.attention_derivatives import Derivatives
from tests.contracts.attention_far_from_zero import FarFromZero
from tests.contracts.attention_parts import Parts
from tests.contracts.attention_values import Values
from tests.ops.test_kernels import INTERPRETED


class AttentionSemantics(Values, Derivatives, FarFromZero, Parts, BadInput):
    """Every line of the contract; a subclass names the engine."""

    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch):
        monkeypatch.setattr(choose, "ENGINES", small_blocks())


class TestReference(AttentionSemantics):
    engine = "reference"


class TestBlockwise(AttentionSemantics):
    engine = "blockwise"


class TestOneBlock(AttentionSemantics):
    engine = "one block"


def test_every_engine_inherits_the_semantics():
    tested = {c.engine for c in AttentionSemantics.__subclasses__()}
    assert tested == set(small_blocks()) > set(choose.ENGINES)


def test_every_kernel_is_held_to_the_semantics_where_it_can_run():
    assert {*INTERPRETED, "cudnn"} == set(choose.KERNELS)  # cuDNN runs and lowers only beside a GPU.
