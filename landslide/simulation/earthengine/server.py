"""HTTP/1.1 on a socket: connections, bodies, replies, and connections that are cut."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .app import App, CutError
from .replies import ApiError, Reply

MOST_BODY = 10 * 2**20
DRAINED = 64 * 2**20


class Handler(BaseHTTPRequestHandler):
    """One connection: HTTP/1.1, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        app = self.server.app
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = app.answer(self.command, self.path, self._body(headers), headers)
        except CutError as cut:
            self._cut(cut.reply)
            return
        except ApiError as error:
            reply = error.reply()
        except Exception as error:  # a fault of the loopback's own: told at once, with a code that nobody retries
            reply = ApiError(f"Loopback failed: {error!r}").reply()
        with suppress(BrokenPipeError, ConnectionResetError):
            self._head(reply)
            self.wfile.write(reply.body)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        length = int(headers.get("content-length") or 0)
        if length > MOST_BODY:
            if length <= DRAINED:
                self.rfile.read(length)
            else:
                self.close_connection = True
            raise ApiError(f"Request payload size exceeds the limit: {MOST_BODY} bytes.")
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
    """A thread a connection; a queue long enough for a crowd."""

    daemon_threads = True
    request_queue_size = 256
    app: App

    def __init__(self, app: App, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.app = app
        app.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no error of ours."""
