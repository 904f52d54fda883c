"""How long the page of `attnjax explain` takes to open, in headless Chromium.

    python benchmarks/viewer.py

12 layers × 12 heads × 256 tokens, and long inputs, whose maps come in tiles. Of each: the seconds to write
the page, its size, the milliseconds from the beginning of the navigation until all small pictures and the
first map are drawn, until another head is drawn, and until the tokens of a row have their colours. The
weights are a softmax of random scores in which near tokens and the first one count more.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # The driver of the browser is that of the tests.

from attnjax.explain.viewer import AttentionMap, Explanation, page  # noqa: E402
from tests.explain.chromium import Chromium  # noqa: E402

SHOWN = "performance.getEntriesByName('shown')"
FRAMES = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))))"
NEXT_HEAD = f"""(async () => {{
  const start = performance.now();
  document.querySelector("#heads [role=row]:last-child button:nth-of-type(2)").click();
  const title = document.getElementById("map-title").textContent;
  return [title, await {FRAMES}];
}})()"""
HOLD = f"""(async () => {{
  const start = performance.now();
  document.querySelector("#rows > span:nth-of-type(200)").click();
  const first = document.querySelector("#columns > span");
  while (!first.style.backgroundColor) await new Promise(done => setTimeout(done));
  return {FRAMES};
}})()"""


def weights(heads: int, length: int, seed: int) -> np.ndarray:
    """Rows of causal attention [H, T, T]."""
    rng, distance = np.random.default_rng(seed), np.arange(length)[:, None] - np.arange(length)
    scores = 2.0 * rng.standard_normal((heads, length, length), np.float32)
    slopes = 0.5 ** np.arange(heads, dtype=np.float32)
    scores -= slopes[:, None, None] * np.abs(distance, dtype=np.float32) * 8 / np.sqrt(length)
    scores[:, :, 0] += 4.0
    scores[:, distance < 0] = -np.inf
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def measure(browser: Chromium, layers: int, heads: int, length: int, repeats: int) -> None:
    """Prints a line on a page of these sizes."""
    tokens = [f"token{i}" for i in range(length)]
    maps = [
        AttentionMap(f"blocks.{i}.attention", tokens, tokens, weights(heads, length, i))
        for i in range(layers)
    ]
    start = time.perf_counter()
    html = page(Explanation(f"{length} tokens", maps))
    written = time.perf_counter() - start
    found: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(html, encoding="utf-8")
        for _ in range(repeats):
            browser.open(file)
            browser.until(f"{SHOWN}.length")
            shown = browser.value(f"{SHOWN}[0].startTime")
            _, head = browser.value(NEXT_HEAD)
            found.append((shown, head, browser.value(HOLD)))
    assert browser.problems == []
    opened, head, row = np.median(found, axis=0)
    tiled = html.count('"tiles"')
    openings = [shown for shown, *_ in found]
    print(
        f"{layers} layers × {heads} heads × {length} tokens: written in {written:.1f} s, "
        f"{len(html) / 1e6:.1f} MB, {tiled} heads in full; "
        f"opens in {opened:.0f} ms ({min(openings):.0f} to {max(openings):.0f}), "
        f"another head {head:.0f} ms, a row {row:.0f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="openings of each (default: 5)")
    options = parser.parse_args()
    browser = Chromium()
    try:
        for sizes in ((12, 12, 256), (2, 4, 1024), (1, 4, 4096)):
            measure(browser, *sizes, repeats=options.repeats)
    finally:
        browser.close()


if __name__ == "__main__":
    main()
