"""The public place of the family's members."""

import pytest

from attnjax import linear, mechanisms


def test_every_member_has_a_public_name():
    rows = mechanisms.table(mechanisms.Recurrence)
    assert len(rows) >= 20
    for name, row in rows.items():
        assert getattr(linear, name) is row.function, name


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="has no attribute 'transformer'"):
        linear.transformer  # noqa: B018
