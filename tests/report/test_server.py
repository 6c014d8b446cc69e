"""The server of pages: who is answered, and what does it no harm."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from translate.errors import UsageError
from translate.report import server as servers
from translate.report.server import TEXT, Request, Response, Server


def echo(request: Request) -> Response:
    if request.path == "wrong":
        raise UsageError("expected\nanother")
    if request.path == "broken":
        raise RuntimeError("no such thing")
    return Response(f"{request.path} {request.fields} {len(request.body)}".encode(), TEXT)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(echo)
    with found.serving():
        yield found


def ask(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def test_questions_are_answered_below_the_token_alone(server: Server) -> None:
    assert ask(server, f"/{server.token}/x?a=1&b=%20") == (200, "x {'a': '1', 'b': ' '} 0")
    assert ask(server, f"/{server.token}/x", method="POST", body=b"12345") == (200, "x {} 5")
    for path in ("/", "/x", f"/{server.token}", f"/{server.token}x/", f"/{server.token[:-1]}/x", "//", "/%2e%2e/"):
        assert ask(server, path)[0] == 404
    assert len(server.token) > 20


def test_another_name_of_this_machine_is_not_answered(server: Server) -> None:
    assert ask(server, f"/{server.token}/", Host=f"evil.example:{server.port}")[0] == 404
    assert ask(server, f"/{server.token}/", Host=f"localhost:{server.port}")[0] == 200


def test_it_listens_on_loopback_alone(server: Server) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}/{server.token}/"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_mistakes_are_one_line_and_the_next_question_is_answered(server: Server) -> None:
    assert ask(server, f"/{server.token}/wrong") == (400, "expected another")
    assert ask(server, f"/{server.token}/broken") == (500, "RuntimeError: no such thing")
    assert ask(server, f"/{server.token}/", method="PUT")[0] == 501
    assert ask(server, f"/{server.token}/?" + "&".join(f"a{k}=1" for k in range(200)))[0] == 500
    assert ask(server, f"/{server.token}/x")[0] == 200


@pytest.mark.parametrize("length", [str((64 << 20) + 1), "-1", "x", "9" * 30])
def test_what_is_too_large_is_not_read(server: Server, length: str) -> None:
    status, text = ask(server, f"/{server.token}/x", method="POST", Content_Length=length)
    assert (status, text) == (413, "too large: expected at most 64 MiB")


def test_a_browser_that_goes_away_does_no_harm(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    cut_short = f"POST /{server.token}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
    for start in (b"", b"GET /", cut_short.encode()):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(start)
    time.sleep(0.2)
    assert ask(server, f"/{server.token}/x")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_connection_that_is_silent_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "TIMEOUT", 0.2)
    server = Server(echo)
    with server.serving(), socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(5)
        assert connection.recv(1) == b""


def test_a_port_in_use_is_refused(server: Server) -> None:
    with pytest.raises(UsageError, match=f"--port {server.port}: address already in use; choose another"):
        Server(echo, server.port)
    second = Server(echo)
    with second.serving():
        assert second.port != server.port
        assert ask(second, f"/{server.token}/x")[0] == 404
