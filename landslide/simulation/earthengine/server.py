"""The HTTP/1.1 server."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .app import App, CutError
from .replies import ApiError, Reply

MAX_BODY_BYTES = 10 * 2**20
MAX_DRAINED_BYTES = 64 * 2**20


class Handler(BaseHTTPRequestHandler):
    """One keep-alive connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""

    def _serve(self) -> None:
        app = self.server.app
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = app.handle(self.command, self.path, self._body(headers), headers)
        except CutError as cut:
            self._cut(cut.reply)
            return
        except ApiError as error:
            reply = error.reply()
        except Exception as error:  # an error of the loopback itself: status 400, which clients do not retry
            reply = ApiError(f"Loopback failed: {error!r}").reply()
        with suppress(BrokenPipeError, ConnectionResetError):
            self._head(reply)
            self.wfile.write(reply.body)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        length = int(headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            if length <= MAX_DRAINED_BYTES:
                self.rfile.read(length)
            else:
                self.close_connection = True
            raise ApiError(f"Request payload size exceeds the limit: {MAX_BODY_BYTES} bytes.")
        return self.rfile.read(length)

    def _head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.mime)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _cut(self, reply: Reply | None) -> None:
        self.close_connection = True
        with suppress(OSError):
            if reply is not None:
                self._head(reply)
                self.wfile.write(reply.body[: len(reply.body) // 2])
                self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    """A server with one thread for each connection."""

    daemon_threads = True
    request_queue_size = 256
    app: App

    def __init__(self, app: App, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.app = app
        app.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Errors of connections that a client closed are not reported."""
