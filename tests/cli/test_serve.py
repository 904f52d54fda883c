"""`attnjax serve`: the answers of the command line, over HTTP."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from attnjax.cli import main
from attnjax.experiment import registry
from attnjax.runs.serving.server import MOST_BYTES, Server
from attnjax.runs.store import resolve


@pytest.fixture(scope="module")
def server(runs):
    registry.discover()
    with Server(resolve("translation", runs), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def asked(server):
    def ask(content, method="POST", path="/predict", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
        body = content if isinstance(content, bytes | None) else json.dumps(content).encode()
        given = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection.request(method, path, body, given)
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, json.loads(text) if "json" in reply.headers["Content-Type"] else text.decode()

    return ask


def test_answers_are_those_of_the_command_line(asked, runs, capsys):
    texts = ["12", "", "7", "1" * 300]
    arguments = *texts, "--beams", "2", "--n-best", "2", "--json", "--scores", "--details", "--alignments"
    assert main(["predict", "translation", *arguments, "--runs", str(runs)]) == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    texts[0] += "\r"  # The end of a line that a page sends.
    shown = {"scores": True, "details": True, "alignments": True}
    status, found = asked({"texts": texts, "beams": 2, "n_best": 2, **shown})
    assert status == 200
    note = found["answers"][3].pop("note")
    assert note.endswith(
        "has 300 tokens, data.max_source_length is 256: its first 256 characters are answered"
    )
    assert found["answers"] == expected
    with ThreadPoolExecutor(4) as threads:  # All at once: each gets what it gets alone.
        alone = list(
            threads.map(lambda text: asked({"text": text, "beams": 2, "n_best": 2, **shown}), texts[:3])
        )
    assert [reply["answers"][0] for _, reply in alone] == expected[:3]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "the request is no JSON"),
        ([1], 400, "the request is no object"),
        ({}, 400, "the request has texts and text, or neither"),
        ({"texts": "a"}, 400, "texts: expected a list of strings"),
        ({"text": "a\nb"}, 400, "texts: expected one line each"),
        ({"text": "a", "scores": 1}, 400, "scores, details, alignments: expected true or false"),
        ({"text": "a", "beam": 2}, 400, "unknown field 'beam': expected text, texts, scores"),
        ({"text": "a", "beams": 0}, 400, "search.beams is 0: expected a whole number, 1 or more"),
        ({"text": "a", "beams": 17}, 400, "beams is 17: at most 16 here"),
        ({"text": "a", "alpha": "x"}, 400, "alpha is 'x': expected as 0.6"),
        ({"text": "a", "ban": [1]}, 400, "ban is [1]: expected as ()"),
        ({"text": "a", "prefix": "1" * 99}, 400, "search.prefix is"),
        (b'{"text": "\\ud800"}', 400, "the request is no JSON that can be read"),
        (b'{"text": "a", "prefix": "\\ud800"}', 400, "the request is no JSON that can be read"),
        (b'{"text": ' + b"[" * 100_000, 400, "the request is no JSON that can be read"),
        ({"text": "a", "temperature": 1.0, "seed": 10**20}, 400, "search.seed is 1000"),
        ({"texts": ["a"] * 257}, 413, "the request has 257 texts, at most 256 are taken"),
        (
            b" " * (MOST_BYTES + 1),
            413,
            f"the request has {MOST_BYTES + 1} bytes, at most {MOST_BYTES} are taken",
        ),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_the_server_goes_on(asked, content, status, message):
    found, reply = asked(content)
    assert found == status
    assert message in reply["error"]
    assert "\n" not in reply["error"]
    assert asked(None, "GET", "/health")[0] == 200


def test_pages_of_other_sites_have_no_way_in(asked):
    assert asked({"text": "1"}, Content_Type="text/plain")[0] == 415
    assert asked({"text": "1"}, Host="evil.example:80")[0] == 403
    assert asked(None, "GET", "/", Host="evil.example")[0] == 403
    assert asked({"text": "1"}, Host="localhost:1")[0] == 200
    assert asked(None, "GET", "/x")[0] == asked({"text": "1"}, path="/")[0] == 404


def test_the_page_names_the_run_and_takes_nothing_from_elsewhere(asked, server):
    status, page = asked(None, "GET", "/?text=12")
    assert status == 200
    assert f"<title>{server.run.name}</title>" in page
    assert "http" not in page
    assert "innerHTML" not in page


def test_a_port_that_is_taken_is_one_line(server, runs, capsys):
    port = str(server.server_address[1])
    for given, message in {port: "Address already in use", "99999": "port must be 0-65535"}.items():
        assert main(["serve", "translation", "--port", given, "--runs", str(runs)]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert f"cannot listen on 127.0.0.1, port {given}: " in error
        assert message in error
