"""Data frames of R, from bytes that are written here by hand."""

import pytest

from attnjax.data.fetch.r_data import _Reader


def test_a_data_frame_of_r_is_read_as_r_wrote_it() -> None:
    def integers(*values: int) -> bytes:
        return b"".join(value.to_bytes(4, "big", signed=True) for value in values)

    def text(value: str) -> bytes:
        return integers(9, len(value)) + value.encode()

    # list(a = c(1L, NA), b = 2.5) with names as an attribute.
    names = integers(1026, 1) + text("names") + integers(16, 2) + text("a") + text("b") + integers(254)
    numbers = integers(13, 2, 1, -(2**31)) + integers(14, 1) + bytes.fromhex("4004000000000000")
    data = b"X\n" + integers(2, 0, 0, 19 | 512, 2) + numbers + names
    found = _Reader(data).item()
    assert ([list(column) for column in found], list(found.attributes["names"])) == (
        [[1, None], [2.5]],
        ["a", "b"],
    )
    with pytest.raises(ValueError, match="R's type 3 at byte"):
        _Reader(b"X\n" + integers(2, 0, 0, 3, 0)).item()
