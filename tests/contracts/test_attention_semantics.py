"""The eleven semantics of attention (api.md): every engine inherits the one class."""

import pytest

from attnjax.ops.engines import choose
from tests.contracts.attention_bad_input import BadInput
from tests.contracts.attention_cases import small_blocks
from tests.contracts.attention_derivatives import Derivatives
from tests.contracts.attention_values import Values


class AttentionSemantics(Values, Derivatives, BadInput):
    """Every line of the contract; a subclass names the engine."""

    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch):
        monkeypatch.setattr(choose, "ENGINES", small_blocks())


class TestReference(AttentionSemantics):
    engine = "reference"


class TestBlockwise(AttentionSemantics):
    engine = "blockwise"


def test_every_engine_inherits_the_semantics():
    tested = {c.engine for c in AttentionSemantics.__subclasses__()}
    assert tested == set(choose.ENGINES)
