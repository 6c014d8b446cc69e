"""A small server for pages of one's own: loopback alone, and nothing without the token in the address."""

from __future__ import annotations

import os
import secrets
import sys
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
"""Bytes of an upload."""
TIMEOUT = 30
"""Seconds for which a connection may be silent."""
HTML, JSON, WEBP, TEXT = "text/html; charset=utf-8", "application/json", "image/webp", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """What a page requests: a path below its own, the fields of its query, and what it uploads."""

    path: str
    fields: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """What it receives. ``lasting``: whether the browser may keep it, since the path will never mean anything else."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK
    lasting: bool = False


NOT_FOUND = Response(b"no such page", TEXT, HTTPStatus.NOT_FOUND)


class Server:
    """Listens on a port of this machine; 0 for any that is free. Raises ``UsageError`` where the port is in use."""

    def __init__(self, respond: Callable[[Request], Response], port: int = 0) -> None:
        self.token = secrets.token_urlsafe(16)
        try:
            self._server = _Threads((HOST, port), _handler(respond, self.token))
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
        """Serve within a ``with`` statement."""
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
        """A browser that has gone away in the middle is no fault; --debug shows it."""
        current().detail(named_line(sys.exc_info()[1] or OSError()))


def _handler(respond: Callable[[Request], Response], token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT
        server_version, sys_version = "gantk", ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(self._response(b""))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()) or int(length) > LARGEST:
                self.close_connection = True
                text = f"too large: expected at most {LARGEST >> 20} MiB"
                self._send(Response(text.encode(), TEXT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
                return
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._send(self._response(body))

        def _response(self, body: bytes) -> Response:
            # A page from elsewhere may have its own host name resolve to this machine (DNS rebinding).
            hosts = {f"{name}:{self.connection.getsockname()[1]}" for name in (HOST, "localhost")}
            address = urlsplit(self.path)
            given, slash, path = address.path.removeprefix("/").partition("/")
            mine = secrets.compare_digest(given.encode(), token.encode())
            if self.headers.get("Host") not in hosts or not (mine and slash):
                return NOT_FOUND
            try:
                fields = dict(parse_qsl(address.query, keep_blank_values=True, max_num_fields=100))
                return respond(Request(path, fields, body))
            except GantkError as error:
                return Response(one_line(error).encode(), TEXT, HTTPStatus.BAD_REQUEST)
            except Exception as error:  # whatever it is, the page shows it, and the next request is served
                return Response(named_line(error).encode(), TEXT, HTTPStatus.INTERNAL_SERVER_ERROR)

        def _send(self, response: Response) -> None:
            self.send_response(response.status)
            self.send_header("Content-Type", response.kind)
            self.send_header("Content-Length", str(len(response.body)))
            self.send_header("Cache-Control", "private, max-age=86400, immutable" if response.lasting else "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, format: str, *args: Any) -> None:
            current().detail(format % args)

    return Handler
