"""Chromium without a window, spoken to over its own pipe: no driver, no package, no port.

Its protocol: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DEADLINE_SECONDS = 60.0
"""Until when an answer must be there; a page that hangs is an error and no endless test."""
FLAGS = """
    --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars
    --disable-background-networking --disable-component-update --disable-sync --remote-debugging-pipe
"""
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27}


def command() -> str | None:
    """The browser's command: $CHROMIUM, or the first of its usual names that is there."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A browser with one tab; what went wrong in it is kept in `problems`, what it fetched in `requests`."""

    def __init__(self) -> None:
        found = command()
        assert found is not None, "no Chromium"
        self.folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self.downloads = self.folder / "downloads"
        (reads, self._out), (self._in, writes) = os.pipe(), os.pipe()
        flags = FLAGS.split()
        # It reads commands from descriptor 3 and answers on 4, which the shell puts in their places.
        line = f'exec "$@" 3<&{reads} 4>&{writes}'
        arguments = [found, *flags, f"--user-data-dir={self.folder}/profile", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", line, "bash", *arguments],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        os.set_blocking(self._in, False)
        self._numbers, self._buffer, self._session = itertools.count(1), b"", None
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = next(t for t in self._ask("Target.getTargets")["targetInfos"] if t["type"] == "page")[
            "targetId"
        ]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")
        self._ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, file: Path, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Opens a file at a size, with an empty record of problems and requests, and nothing saved."""
        shutil.rmtree(self.downloads, ignore_errors=True)
        self.problems.clear()
        self.requests.clear()
        self.size(width, height)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", features=features)
        self._ask("Page.navigate", url=file.resolve().as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def size(self, width: int, height: int) -> None:
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def value(self, expression: str) -> Any:
        """What an expression of the page gives, awaited."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {_described(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not self.value(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        return self.value(f"document.querySelector({json.dumps(selector)}).textContent")

    def point(self, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
        """Moves the pointer to a part of an element, from 0 to 1 along each side; returns where that is."""
        box = self.value(
            f"(e => (e.scrollIntoView({{block: 'nearest'}}), e.getBoundingClientRect().toJSON()))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        place = box["x"] + x * box["width"], box["y"] + y * box["height"]
        self._mouse("mouseMoved", place)
        return place

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        place = self.point(selector, x, y)
        self._mouse("mousePressed", place, button="left", clickCount=1)
        self._mouse("mouseReleased", place, button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        for key in keys:
            named = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0]))}
            text = {} if key in KEYS else {"text": key}
            self._ask("Input.dispatchKeyEvent", type="keyDown", **named, **text)
            self._ask("Input.dispatchKeyEvent", type="keyUp", **named)

    def download(self, name: str) -> bytes:
        """The content of a file that the page saved."""
        file, end = self.downloads / name, time.monotonic() + DEADLINE_SECONDS
        while not file.exists():
            found = sorted(p.name for p in self.downloads.glob("*"))
            assert time.monotonic() < end, f"never saved: {name}, but {found}"
            time.sleep(0.02)
        return file.read_bytes()

    def picture(self, *, whole: bool = True) -> bytes:
        """A PNG of the page."""
        options: dict[str, Any] = {"format": "png"}
        if whole:
            size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
            options |= {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        return base64.b64decode(self._ask("Page.captureScreenshot", **options)["data"])

    def _mouse(self, kind: str, place: tuple[float, float], **options: Any) -> None:
        self._ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **options)

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        session = (
            {} if self._session is None or method.startswith("Browser.") else {"sessionId": self._session}
        )
        message = {"id": number, "method": method, "params": parameters, **session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._keep(answer.get("method"), answer.get("params", {}))

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE_SECONDS
        while b"\0" not in self._buffer:
            try:
                self._buffer += os.read(self._in, 1 << 20)
            except BlockingIOError:
                time.sleep(0.002)
            assert self._process.poll() is None, "Chromium has ended"
            assert time.monotonic() < end, "Chromium does not answer"
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _keep(self, event: str | None, found: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.problems.append(_described(found["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.problems.append(f"{found['type']}: {[x.get('value') for x in found['args']]}")
        elif event == "Log.entryAdded":
            self.problems.append(f"{found['entry']['level']}: {found['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])


def _described(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description", details["text"])
