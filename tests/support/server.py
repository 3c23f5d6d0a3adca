"""A web server on this machine, for tests of downloads: it gives what it is told to, as badly as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class Server:
    """A running server. `files` are what it gives, by path; `asked` the paths and ranges it was asked for.

    `ranges`: False ignores a wanted range, "wrong" answers another one. `cut`: break off after so many bytes of an
    answer. `sizes`: whether lengths are stated. `answers`: a status, or an address to send on to, instead of a file.
    """

    url: str
    files: dict[str, bytes]
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    ranges: bool | str = True
    cut: int | None = None
    sizes: bool = True
    answers: dict[str, int | str] = field(default_factory=dict[str, int | str])


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Server]:
    """A server of these files at 127.0.0.1, for as long as the block lasts."""
    server = Server(url="", files={f"/{path.lstrip('/')}": content for path, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # whoever asked has heard enough
                _answer(self, server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        server.url = f"http://127.0.0.1:{httpd.server_port}/"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()


def closed_address() -> str:
    """An address on this machine at which nobody answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as httpd:
        return f"http://127.0.0.1:{httpd.server_port}/"


def _answer(handler: BaseHTTPRequestHandler, server: Server) -> None:
    wanted = handler.headers.get("Range", "")
    server.asked.append((handler.path, wanted))
    other = server.answers.get(handler.path)
    content = server.files.get(handler.path)
    if isinstance(other, str):
        handler.send_response(302)
        handler.send_header("Location", other)
        handler.send_header("Content-Length", "0")
        return handler.end_headers()
    if other is not None or content is None:
        return handler.send_error(other or 404)
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
    if start and start >= len(content):
        return handler.send_error(416)
    if server.ranges == "wrong" and start:
        start = 0
    partial = bool(wanted and server.ranges)
    handler.send_response(206 if partial else 200)
    if partial:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if server.sizes:
        handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start:][: server.cut])
    return None
