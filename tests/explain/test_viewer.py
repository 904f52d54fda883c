"""The viewer in headless Chromium: pointing, keys, files; nothing is fetched, the console stays empty."""

import csv
import io
import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from attnjax.explain.viewer import AttentionMap, Explanation, page
from tests.explain import chromium
from tests.explain.chromium import Chromium
from tests.explain.viewer_cases import HOSTILE, joined, pictured, read, rows, written

Open = Callable[..., Chromium]
SHADES = "[...document.querySelectorAll('#{} > span')].map(e => e.style.backgroundColor)"
DARKEST = "rgb(7, 29, 66)"
"""The end of the light palette."""
SHOWN = "performance.getEntriesByName('shown').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    if chromium.command() is None:
        pytest.skip("NOT TESTED in a browser: no Chromium here (apt install chromium, or set CHROMIUM)")
    found = Chromium()
    yield found
    found.close()


@pytest.fixture
def show(browser: Chromium, tmp_path) -> Iterator[Open]:
    """Opens a page of explanations; at the end, it has fetched nothing and the console is empty."""

    def opened(shown: Explanation | Sequence[Explanation], **options) -> Chromium:
        file = tmp_path / "page.html"
        file.write_text(
            page(shown, **{k: options.pop(k) for k in ("budget",) if k in options}), encoding="utf-8"
        )
        browser.open(file, **options)
        browser.until(SHOWN)
        return browser

    yield opened
    assert browser.problems == []
    fetched = [url for url in browser.requests if not url.startswith("data:")]
    assert [url.partition(":")[0] for url in fetched] == ["file"] * len(fetched)
    assert len(fetched) == 1


def strongest(weights: np.ndarray) -> int:
    return int(np.abs(weights).argmax())


def darkest(browser: Chromium, strip: str) -> list[int]:
    """The tokens that have the colour of the largest weight."""
    shades = browser.value(SHADES.format(strip))
    return [i for i, shade in enumerate(shades) if shade == DARKEST]


def test_heads_are_chosen_by_pointer_and_keys(show: Open) -> None:
    browser = show(read())
    assert browser.value("document.querySelectorAll('#heads button').length") == 2 * 5
    assert browser.text("#map-title") == "blocks.0.attention · head 0"
    browser.click("#heads button[aria-label='blocks.1.attention, head 2']")
    assert browser.text("#map-title") == "blocks.1.attention · head 2"
    browser.press("ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert browser.text("#map-title") == "blocks.0.attention · head 0"
    assert browser.text("#say") == "blocks.0.attention, head 0"
    browser.press(*["ArrowRight"] * 9)
    assert browser.text("#map-title") == "blocks.0.attention · max"
    chosen = "[...document.querySelectorAll('#heads [aria-selected=true]')].map(e => e.ariaLabel)"
    assert browser.value(chosen) == ["blocks.0.attention, head max"]


def test_pointing_at_a_token_colours_the_other_side(show: Open) -> None:
    browser, weights = show(read()), read().maps[0].weights[0]
    for row in (1, 6):
        browser.point(f"#rows > :nth-child({row + 1})")
        assert darkest(browser, "columns") == [strongest(weights[row])]
        assert set(browser.value(SHADES.format("rows"))) == {""}
    browser.point("#columns > :nth-child(3)")
    assert darkest(browser, "rows") == [strongest(weights[:, 2])]
    assert set(browser.value(SHADES.format("columns"))) == {""}
    browser.click("#columns > :nth-child(3)")
    browser.point("h1")
    assert darkest(browser, "rows") == [strongest(weights[:, 2])]  # It is held.
    browser.press("Escape")
    assert set(browser.value(SHADES.format("rows"))) == {""}


def test_tokens_are_reached_by_keys_and_read_out(show: Open) -> None:
    browser, weights = show(read()), read().maps[0].weights[0]
    browser.value("document.querySelector('#rows > span').focus()")
    browser.press("ArrowRight", "Enter")
    found = browser.text("#say")
    assert found.startswith("“<img src=x onerror=alert(1)>” looks at ")
    assert f"{weights[1].max():.3g}" in found
    assert browser.value("document.querySelector('#rows > .marked').dataset.number") == "1"


def test_the_map_shows_the_weight_under_the_pointer_and_the_keys(show: Open) -> None:
    browser, weights = show(read()), read().maps[0].weights[0]
    browser.value("document.getElementById('map').focus()")
    browser.press("Escape", "ArrowDown", "ArrowRight", "ArrowDown")
    browser.until(f"document.getElementById('say').textContent.endsWith(': {weights[1, 1]:.3g}')")
    # Of the picture: where the cell in the last row and column is.
    across = browser.value("document.getElementById('map').getBoundingClientRect().width")
    found = set()
    for x in np.linspace(0.3, (across - 2) / across, 40):
        browser.point("#map", x, 0.97)
        found.add(browser.text("#hover"))
    assert any(text.endswith(f"“a,b”: {weights[7, 7]:.3g}") for text in found)


def test_hostile_tokens_are_shown_and_not_run(show: Open) -> None:
    browser = show(read())
    shown = browser.value("[...document.querySelectorAll('#rows > span')].map(e => e.textContent)")
    assert shown == [*HOSTILE[:3], "␣مرحبا", "⏎", "∅", "\\u{200b}", "a,b"]
    assert browser.text("#title") == "</script><b>"
    assert browser.value("document.images.length") == 0


def test_maps_are_saved_as_table_and_pictures(show: Open) -> None:
    browser, shown = show(read()), read().maps[0]
    for kind in ("csv", "svg", "png"):
        browser.click(f".export[data-kind={kind}]")
    saved = {kind: browser.download(f"blocks.0.attention.head-0.{kind}") for kind in ("csv", "svg", "png")}
    head, *lines = csv.reader(io.StringIO(saved["csv"].decode()))
    assert (head[1:], [line[0] for line in lines]) == (HOSTILE, HOSTILE)
    assert np.allclose(np.array([line[1:] for line in lines], float), shown.weights[0], atol=2e-5)
    drawing = ElementTree.fromstring(saved["svg"])
    assert len(drawing.findall("{*}rect")) == 1 + shown.weights[0].size
    assert "</script>" in [text.text for text in drawing.findall("{*}text")]
    assert saved["png"].startswith(b"\x89PNG")


def test_attributions_stand_beside_their_faithfulness(show: Open) -> None:
    browser = show(read())
    assert "rollout" in browser.text("#saliencies article")
    cells = "[...document.querySelector('.faithfulness tbody tr').cells].map(c => c.textContent.trim())"
    assert browser.value(cells) == ["deletion AUC", "○◆●", "0.3 ± 0.02", "0.5", "0.1"]
    # Lower is better here: halfway from random to the best order, which stands to the right.
    places = browser.value("[...document.querySelectorAll('.line b')].map(e => e.style.left)")
    assert [float(place[:-1]) for place in places] == pytest.approx([0, 100, 50])


def test_written_tokens_are_stepped_through(show: Open) -> None:
    browser, shown = show(written()), written()
    assert browser.value("document.getElementById('steps').hidden")  # The encoder writes nothing.
    browser.click("#groups button:nth-child(2)")
    cross = shown.maps[1].weights[0]
    browser.until("document.querySelector('#columns > span').style.backgroundColor")
    seen = []
    for step in range(4):
        assert darkest(browser, "columns") == [strongest(cross[step])]
        assert browser.text("#written .now") == shown.written[step]
        seen.append(browser.text("#saliencies"))
        browser.press("]")
    assert len(set(seen)) == 4
    browser.press("[", "[")
    assert browser.text("#written .now") == "x"
    browser.value("document.getElementById('step').value = 0")
    browser.click("#step-play")
    browser.until(
        "document.querySelector('#written .now').textContent === 'z'"
    )  # To the end, and no further.
    browser.until("document.getElementById('step-play').textContent.includes('play')")


def test_a_long_map_is_unpacked_where_it_is_looked_at(show: Open) -> None:
    length = 1030
    tokens = [f"t{i}" for i in range(length)]
    weights = rows(np.random.default_rng(3), 2, length, length, causal=True).astype(np.float32)
    weights[1] = np.eye(length)
    browser = show(
        Explanation("long", [AttentionMap("blocks.0.attention", tokens, tokens, weights)]), budget=60_000
    )
    assert "overview alone: a pixel is the largest of 3 × 3" in browser.text("#facts")
    browser.click(".export[data-kind=csv]")
    head, first, *others = browser.download("blocks.0.attention.head-0.csv").decode().splitlines()
    assert (head.split(",")[1], first.split(",")[0], len(others)) == ("t0…t2", "t0…t2", 343)
    assert float(first.split(",")[1]) == pytest.approx(weights[0, :3, :3].max(), abs=4e-3)
    browser.press("ArrowRight")
    assert "overview" not in browser.text("#facts")
    browser.until(
        "document.getElementById('hover').textContent.includes('“t515” 1,')"
    )  # The row that is held.
    browser.point("#rows > :nth-child(800)")
    browser.until("document.getElementById('hover').textContent.includes('“t799” 1,')")
    assert darkest(browser, "columns") == [799]
    browser.press(*"++++++++")
    browser.value("document.getElementById('map').focus()")
    browser.press("ArrowRight")
    browser.until("document.getElementById('say').textContent.endsWith(': 0')")
    assert "8 bits: none is off by more than 0.00392" in browser.text("#precision")


def test_an_image_and_a_graph_are_coloured_too(show: Open) -> None:
    browser = show([pictured(), joined()])
    browser.until("document.getElementById('image').height === 480")
    browser.click("#image", 0.75, 0.25)  # The patch at the top right looks.
    assert browser.text("#picture-title") == "Image: where 0,1 looks"
    places = [(120, 120), (360, 120), (120, 360), (360, 360)]
    pixels = "(({data}) => %s.map(([x, y]) => [...data.slice(4 * (480 * y + x), 4 * (480 * y + x) + 3)]))"
    image = "document.getElementById('image').getContext('2d').getImageData(0, 0, 480, 480)"
    patches = browser.value(f"{pixels % list(map(list, places))}({image})")
    light = [sum(patch) for patch in patches]
    assert np.argsort(light).tolist() == np.argsort(-pictured().maps[0].weights[0, 2, 1:]).tolist()
    browser.value("(e => (e.value = '1', e.onchange({target: e})))(document.getElementById('inputs'))")
    browser.until("document.querySelectorAll('#graph g').length === 3")
    click = "dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    browser.value(f"document.querySelector('#graph g:nth-of-type(3)').{click}")
    edges = (
        "[...document.querySelectorAll('#graph path')].map(e => [e.textContent, +e.getAttribute('opacity')])"
    )
    (other, faint), (own, strong) = browser.value(edges)
    assert (other, own) == ("b → a: 0.5", "c → b: -0.25")
    assert faint < 0.1 < 0.5 < strong


def test_it_fits_a_phone_light_and_dark_and_its_parts_have_names(show: Open) -> None:
    browser = show([read(), written()], width=390, height=844, dark=True)
    paper = "getComputedStyle(document.body).backgroundColor"
    assert browser.value(paper) == "rgb(14, 17, 21)"
    browser.click("#theme")
    assert browser.value(paper) == "rgb(244, 242, 237)"
    assert browser.value("document.documentElement.scrollWidth") == 390
    parts = "[...document.querySelectorAll('button, select, input, [role=img], [role=grid], [role=listbox]')]"
    name = "e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim() || e.closest('label')"
    assert browser.value(f"{parts}.filter(e => !e.closest('[hidden]') && !({name})).map(e => e.id)") == []


def test_a_notebook_shows_the_same_in_a_frame(browser: Chromium, tmp_path) -> None:
    file = tmp_path / "notebook.html"
    file.write_text(f"<meta charset=utf-8>{read()._repr_html_()}", encoding="utf-8")
    browser.open(file)
    assert browser.value("document.querySelector('iframe').title") == "</script><b>"
    assert browser.value("document.querySelector('iframe').srcdoc") == page(read())
    assert browser.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_colours_of_weights_differ_in_lightness(show: Open, dark: bool) -> None:
    """So that every kind of sight, and a printer without colours, tells them apart."""
    weights = np.linspace(0, 1, 40).reshape(1, 1, 40) ** 2
    browser = show(
        Explanation("ramp", [AttentionMap("a.0", "r", [str(i) for i in range(40)], weights)]), dark=dark
    )
    shades = [tuple(map(int, s[4:-1].split(","))) for s in browser.value(SHADES.format("columns"))]
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in shades]
    steps = [after - before for before, after in itertools.pairwise(light)]
    assert all(step > 0 for step in steps) if dark else all(step < 0 for step in steps)
