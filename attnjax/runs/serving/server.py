"""The HTTP server of a trained run: requests in JSON, and a page with a text box."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from attnjax.config import InputError, require
from attnjax.data.text.lines import composed
from attnjax.runs.predict import ready_task, record_of, request_of
from attnjax.runs.serving.batcher import Batcher, Busy
from attnjax.runs.store import Run

if TYPE_CHECKING:
    from attnjax.tasks.base import Prediction

MOST_BYTES = 1 << 20
"""Of a request."""
MOST_DISCARDED = 64 * MOST_BYTES
"""Of a request that is too large: what is read of it all the same."""
MOST_TEXTS = 256
"""Of a request."""
MOST_BEAMS, MOST_SAMPLES = 16, 64
TIMEOUT = 30
"""Seconds that a client may take from one piece of its request to the next."""
PAGE = Path(__file__).with_name("page.html")
SHOWN = ("scores", "details", "alignments")
"""Fields of a request that say what an answer has."""
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Inquiry(NamedTuple):
    """A request: its texts, the changes of the search, and what the answers have."""

    texts: list[str]
    changes: tuple[tuple[str, Any], ...]
    shown: dict[str, bool]


class Refused(Exception):
    """A request that is not answered, with the status that says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server(ThreadingHTTPServer):
    """A server that answers as `attnjax predict` does; it serves once it is entered and told to.

    Args:
      run: a run, or a sweep's trial that kept its parameters.
      host: the address that it listens on.
      port: likewise; 0 for any that is free.
      weights: the parameters after the "last" step, of the "best" validation, or a mean ("last:5"); None:
        those that the run was evaluated with.
      search: other settings of a run that searches for its answers.
      ensemble: other runs, which answer together with this one.

    Raises:
      InputError: as `predictions`; or the address is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        run: Run,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        weights: str | None = None,
        search: Mapping[str, Any] = MappingProxyType({}),
        ensemble: Sequence[Run] = (),
    ) -> None:
        self.run = run
        self._host = host
        self._task: Any
        self._task, self._params = ready_task(run, weights, search, ensemble)
        self._search: Any = getattr(self._task, "search", None)
        self._batcher = Batcher(self._answer)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot listen on {host}, port {port}: {reason}") from None

    def __enter__(self) -> "Server":
        self._batcher.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server_close()
        self._batcher.__exit__()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{self._host}:{self.server_address[1]}/"

    @cached_property
    def page(self) -> bytes:
        """The page with the text box."""
        text = PAGE.read_text(encoding="utf-8")
        return text.replace("RUN_NAME", self.run.name).encode()

    def is_asked(self, host: str) -> bool:
        """Returns whether a request is for this server, by its header Host.

        One on the loopback takes no other names: a page from elsewhere could give its own this address.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        return self._host not in LOOPBACK or name.strip("[]").lower() in LOOPBACK

    def answer(self, question: Inquiry) -> list[dict[str, Any]]:
        """Returns the records of the answers to a request. Raises as `Batcher.ask`, and InputError."""
        asked = [request_of(self._task, text) if text.strip() else None for text in question.texts]
        inputs = [one for one, _ in filter(None, asked)]
        found = iter(self._batcher.ask(inputs, question.changes) if inputs else ())
        records = []
        for text, one in zip(question.texts, asked, strict=True):
            answer: Prediction | None = None if one is None else next(found)
            record = record_of(text, answer, **question.shown)
            records.append(record | ({"note": one[1]} if one is not None and one[1] else {}))
        return records

    def settings(self, fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """Returns the changes of the search in a request.

        Raises:
          InputError: it has other fields, or values that the search or the server does not take.
        """
        known = {} if self._search is None else dict(vars(self._search))
        for name, most in (("beams", MOST_BEAMS), ("samples", MOST_SAMPLES)):
            value = fields.get(name, 1)
            require(isinstance(value, int) and value <= most, f"{name} is {value!r}: at most {most} here")
        for name, value in fields.items():
            require(
                name in known, f"unknown field {name!r}: expected text, texts, {', '.join([*SHOWN, *known])}"
            )
            require(_like(value, known[name]), f"{name} is {value!r}: expected as {known[name]!r}")
        changes = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        try:
            if changes:
                type(self._search)(**{**known, **changes})
        except TypeError as error:
            raise InputError(f"the settings of the search do not fit ({error})") from None
        return tuple(sorted(changes.items()))

    def _answer(self, inputs: Sequence[Any], changes: tuple[tuple[str, Any], ...]) -> Sequence[Any]:
        if self._search is not None:
            self._task.search = type(self._search)(**{**vars(self._search), **dict(changes)})
        return self._task.predict(self._params, inputs)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    timeout = TIMEOUT
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "attnjax", ""

    def do_GET(self) -> None:
        if not self.server.is_asked(self.headers.get("Host", "")):
            self._refuse(HTTPStatus.FORBIDDEN, "this server answers to the names of this machine alone")
        elif self.path.partition("?")[0] == "/":
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif self.path == "/health":
            self._reply(HTTPStatus.OK, {"run": self.server.run.name})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "expected GET /, GET /health or POST /predict")

    def do_POST(self) -> None:
        try:
            question = self._question()
            self._reply(HTTPStatus.OK, {"answers": self.server.answer(question)})
        except Refused as error:
            self._refuse(error.status, str(error))
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Busy as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # The client has left.
        except Exception as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _question(self) -> Inquiry:
        if not self.server.is_asked(self.headers.get("Host", "")):
            raise Refused(HTTPStatus.FORBIDDEN, "this server answers to the names of this machine alone")
        if self.path != "/predict":
            raise Refused(HTTPStatus.NOT_FOUND, "expected POST /predict")
        # Pages of other sites can send forms here, but no JSON.
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > MOST_BYTES:
            self._discard(min(int(length), MOST_DISCARDED))
            message = f"the request has {length} bytes, at most {MOST_BYTES} are taken"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        return question_of(self.rfile.read(int(length)), self.server)

    def _discard(self, length: int) -> None:
        """Reads and forgets what a client sends, which looks for the answer only after that."""
        while length > 0 and (read := self.rfile.read(min(length, MOST_BYTES))):
            length -= len(read)

    def _reply(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(content, ensure_ascii=False).encode(), "application/json")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        # What is left of the request is not read.
        self.close_connection = True
        self._reply(status, {"error": " ".join(message.split())})

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing of single requests."""


def question_of(body: bytes, server: Server) -> Inquiry:
    """Returns the request that JSON stands for.

    Raises:
      InputError: it is none, or the server does not take its settings.
      Refused: it is too large.
    """
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()  # Fails of half a surrogate pair, which is no text.
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is no JSON that can be read ({error})") from None
    require(isinstance(found, dict), 'the request is no object: expected {"text": …} or {"texts": […]}')
    texts = found.pop("texts", None)
    text = found.pop("text", None)
    require(
        (texts is None) != (text is None), "the request has texts and text, or neither: expected one of both"
    )
    texts = [text] if texts is None else texts
    whole = isinstance(texts, list) and all(isinstance(one, str) for one in texts)
    require(whole, "texts: expected a list of strings")
    require(not any("\n" in one for one in texts), "texts: expected one line each")
    if len(texts) > MOST_TEXTS:
        message = f"the request has {len(texts)} texts, at most {MOST_TEXTS} are taken"
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    shown = {name: found.pop(name, False) for name in SHOWN}
    require(
        all(isinstance(value, bool) for value in shown.values()),
        f"{', '.join(SHOWN)}: expected true or false",
    )
    return Inquiry([composed(text) for text in texts], server.settings(found), shown)


def _like(value: Any, known: Any) -> bool:
    """Returns whether a value of JSON is of the kind of a setting; those that are None are numbers."""
    if isinstance(known, tuple):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if known is None or isinstance(known, float):
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return type(value) is type(known)
