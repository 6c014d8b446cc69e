"""A small server for pages of one's own: loopback alone, and nothing without the token in the address."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from translate.console import current
from translate.errors import GantkError, UsageError, named_line, one_line

HOST = "127.0.0.1"
LARGEST = 64 << 20
"""Bytes of what may be sent here."""
PATIENCE = 30
"""Seconds for which a connection may say nothing."""
HTML, JSON, WEBP, TEXT = "text/html; charset=utf-8", "application/json", "image/webp", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Question:
    """What a page asks: a path below its own, the fields behind it, and what it sends along."""

    path: str
    fields: dict[str, str]
    body: bytes = b""
    posted: bool = False


@dataclass(frozen=True)
class Answer:
    """What it gets. ``lasting``: whether the same path will always have the same answer."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK
    lasting: bool = False


NOT_FOUND = Answer(b"no such page", TEXT, HTTPStatus.NOT_FOUND)


class Server:
    """Answers on a port of this machine; 0 for any that is free. Raises ``UsageError`` where the port is in use."""

    def __init__(self, answer: Callable[[Question], Answer], port: int = 0) -> None:
        self.token = secrets.token_urlsafe(16)
        try:
            self._server = _Threads((HOST, port), _handler(answer, self.token))
        except OSError as error:
            reason = one_line(error).partition("] ")[2].lower() or one_line(error)
            raise UsageError(f"--port {port}: {reason}; choose another, or leave it out") from None
        self.port: int = self._server.server_address[1]

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer meanwhile."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name != "nt"  # where it would let two watchers listen on one port

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone away in the middle is no fault."""


def _handler(answer: Callable[[Question], Answer], token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        server_version, sys_version = "gantk", ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(self._answer(b""))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()) or int(length) > LARGEST:
                self.close_connection = True
                text = f"too large: expected at most {LARGEST >> 20} MiB"
                self._reply(Answer(text.encode(), TEXT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
                return
            self._reply(self._answer(self.rfile.read(int(length))))

        def _answer(self, body: bytes) -> Answer:
            # Another name for this machine in the address would be a page of somebody else's that asks here.
            hosts = {f"{name}:{self.connection.getsockname()[1]}" for name in (HOST, "localhost")}
            address = urlsplit(self.path)
            given, slash, path = address.path.removeprefix("/").partition("/")
            mine = secrets.compare_digest(given.encode(), token.encode())
            if self.headers.get("Host") not in hosts or not (mine and slash):
                return NOT_FOUND
            try:
                fields = dict(parse_qsl(address.query, keep_blank_values=True, max_num_fields=100))
                return answer(Question(path, fields, body, self.command == "POST"))
            except GantkError as error:
                return Answer(one_line(error).encode(), TEXT, HTTPStatus.BAD_REQUEST)
            except Exception as error:  # whatever it is, the page says it and the next question is answered
                return Answer(named_line(error).encode(), TEXT, HTTPStatus.INTERNAL_SERVER_ERROR)

        def _reply(self, reply: Answer) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Cache-Control", "private, max-age=86400, immutable" if reply.lasting else "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            current().detail(format % args)

    return Handler
