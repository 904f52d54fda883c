"""What the viewer's page holds: codes within their bound, tiles within a budget, texts that stay texts."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.explain.viewer import AttentionMap, Explanation, PatchImage, Saliency, graph_map, page
from attnjax.explain.viewer.coding import Coding, pooled
from attnjax.explain.viewer.packing import Packer
from tests.explain.viewer_cases import HOSTILE, read, rows, written

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_no_weight_is_off_by_more_than_the_code_states(bits: int, signed: bool) -> None:
    code = Coding(3.0, bits, signed)
    weights = np.concatenate([np.linspace(-3.0 if signed else 0.0, 3.0, 20001), 3.0 * RNG.random(1000) ** 8])
    off = np.abs(code.decode(code.encode(weights)) - weights)
    assert 0.4 * code.largest_error < off.max() <= code.largest_error
    small = weights[
        (weights >= 0) & (weights < 0.03)
    ]  # Where a code of the weight itself would be as coarse.
    assert np.abs(code.decode(code.encode(small)) - small).max() < 0.2 * code.largest_error


def test_nothing_stays_nothing() -> None:
    for weights in (np.zeros((2, 2)), np.array([[0.0, -1.0]])):
        code = Coding.of(weights)
        assert (code.decode(code.encode(weights)) == 0).sum() == (weights == 0).sum()


@pytest.mark.parametrize(("shape", "factor"), [((7, 5), 3), ((4, 4), 2), ((1, 9), 4), ((3, 3), 1)])
def test_pooling_keeps_the_largest_size_with_its_sign(shape: tuple[int, int], factor: int) -> None:
    weights = RNG.normal(size=shape)
    for i, row in enumerate(pooled(weights, factor)):
        for j, found in enumerate(row):
            square = weights[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            assert found == square.flat[np.abs(square).argmax()]


def unpacked(pieces: str, place: tuple[int, int], bits: int) -> np.ndarray:
    """As the page does it."""
    data = np.frombuffer(zlib.decompress(base64.b64decode(pieces[place[0] : sum(place)])), np.uint8)
    return data if bits == 8 else data[: len(data) // 2].astype(int) << 8 | data[len(data) // 2 :]


def test_the_tiles_of_a_long_map_are_its_weights_and_the_sharpest_head_comes_first() -> None:
    length = 1030
    tokens = list(map(str, range(length)))
    weights = rows(RNG, 2, length, length, causal=True)
    weights[1] = np.eye(length)
    packer = Packer(budget=60_000)  # Of an identity, and not of noise.
    record = packer.add(AttentionMap("blocks.0.attention", tokens, tokens, weights))
    _, pieces = packer.finish()
    code = Coding(record["scale"], record["bits"], record["signed"])
    assert (record["bits"], record["coarse"], record["factor"]) == (8, 3, 17)
    assert [head["name"] for head in record["heads"] if "tiles" in head] == ["1"]
    found = np.zeros((length, length))
    places = iter(record["heads"][1]["tiles"])
    for top in range(0, length, 512):
        for left in range(0, length, 512):
            part = found[top : top + 512, left : left + 512]
            part[:] = code.decode(unpacked(pieces, next(places), 8)).reshape(part.shape)
    assert np.array_equal(found, weights[1])
    overview = code.decode(unpacked(pieces, record["heads"][0]["overview"], 8)).reshape(344, 344)
    assert np.abs(overview - pooled(weights[0], 3)).max() <= code.largest_error


def test_of_heads_come_mean_and_maximum_with_what_is_said_of_them() -> None:
    weights = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    packer = Packer()
    record = packer.add(AttentionMap("blocks.3.attention", "ab", "ab", weights, heads=(4, 7)))
    assert [head["name"] for head in record["heads"]] == ["4", "7", "mean", "max"]
    assert [head["sink"] for head in record["heads"]][:3] == [0.75, 0.25, 0.5]
    assert [head["entropy"] for head in record["heads"]][:3] == [0.5, 0.5, 1.0]
    assert (record["group"], record["layer"], record["bits"]) == ("blocks.attention", "3", 16)
    codes = unpacked(packer.finish()[0], record["thumbnails"], 16).reshape(4, 2, 2)
    assert np.allclose((codes / 65535) ** 2, [*weights, weights.mean(0), weights.max(0)], atol=1e-4)


def test_tokens_end_no_script_and_stay_what_they_are() -> None:
    html = page([read(), written()])
    assert html.count("</script>") == 4  # Those of the template.
    assert "onerror=alert(1)>" not in html.replace("\\u003cimg src=x onerror=alert(1)>", "")
    contents = json.loads(re.search(r'id="contents">(.*?)</script>', html, re.DOTALL)[1])
    assert contents["tokens"][0] == HOSTILE
    assert "<title>2 inputs" in html
    assert "<title>&lt;/script&gt;&lt;b&gt;" in page(read())


def test_the_page_names_no_address() -> None:
    found = set(re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"//.*", "", page(read()).replace("://", ":@@"))))
    assert not found
    addresses = set(re.findall(r"https?://[^\s\"'`]+", page(read())))
    assert addresses == {"http://www.w3.org/2000/svg"}  # The name of a kind of element: nothing is fetched.


def test_what_does_not_fit_is_one_line() -> None:
    square = np.ones((1, 2, 2))
    shown = AttentionMap("a.0", "ab", "ab", square)
    for wrong, message in [
        (
            lambda: AttentionMap("a.0", "ab", "abc", square),
            r"a\.0: weights \[1, 2, 2\]: expected .* 2 rows and 3",
        ),
        (lambda: AttentionMap("a.0", "ab", "ab", np.nan * square), r"a\.0: a weight is not finite"),
        (
            lambda: AttentionMap("a.0", "ab", "ab", square, heads=(1, 2)),
            r"heads \(1, 2\): expected 1 numbers",
        ),
        (lambda: Saliency("x", "ab", np.ones(3)), r"x: scores \[3\]: expected .* with 2 tokens"),
        (lambda: Explanation("x"), "neither maps nor saliencies"),
        (
            lambda: Explanation("x", [AttentionMap("a", "ab", "ab", square, first_written=1)], written="yz"),
            "2 rows",
        ),
        (
            lambda: Explanation("x", [shown], [Saliency("m", "ab", np.ones((2, 2)))], "a"),
            "a row for each of 1",
        ),
        (lambda: Explanation("x", [shown], image=PatchImage(b"GIF", 1, 2)), "image.png is no PNG"),
        (lambda: graph_map("g", "ab", np.array([2]), np.array([0]), np.ones((1, 1))), "source names a node"),
        (
            lambda: graph_map("g", "ab", np.array([0, 1]), np.array([0]), np.ones((1, 1))),
            "expected .E,., .E,.",
        ),
        (lambda: page([]), "explanations is empty"),
    ]:
        with pytest.raises(InputError, match=message):
            wrong()


def test_neighbours_of_a_graph_stand_beside_each_other() -> None:
    ring = np.arange(12)
    found = graph_map("g.0", list(map(str, ring)), ring, (ring + 1) % 12, np.ones((1, 12)))
    assert found.places is not None
    assert found.places.min() >= 0
    assert found.places.max() <= 1
    apart = np.linalg.norm(found.places[:, None] - found.places[None], axis=-1)
    assert apart[ring, (ring + 1) % 12].max() < np.median(apart[~np.eye(12, dtype=bool)])
