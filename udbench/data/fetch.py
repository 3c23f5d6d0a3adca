"""Download a file: interrupted transfers are resumed, and the checksum is verified before the file gets its name."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from udbench.errors import DataError, UdbenchError
from udbench.files import DiskFullError, explained, sync_folder

CONNECT_SECONDS, READ_SECONDS = 10, 60
BLOCK = 1 << 18

ByteProgress = Callable[[int, int], None]


class UnreachableError(UdbenchError):
    """Raised when there is no network, or a host does not answer."""


def fetch_file(
    urls: str | Sequence[str],
    path: Path,
    *,
    size: int,
    sha256: str = "",
    md5: str = "",
    progress: ByteProgress | None = None,
) -> None:
    """Download a file over http(s) from the first of `urls` that provides it; all of them serve the same bytes.

    `size` is the maximum size in bytes; `progress(done, size)` is called as bytes arrive. If the transfer breaks off,
    the received part is kept beside `path` as `.part`, and a later call resumes it. The complete file is compared with
    `sha256` or `md5` (one is required) before it gets its name; an existing file with the right checksum is not
    downloaded again. Raises DataError for a wrong checksum or too many bytes (the received bytes are deleted),
    UnreachableError if no host answers, UdbenchError for refusals and broken transfers, and DiskFullError.
    """
    target = _Target(path=Path(path), size=size, sha256=sha256.lower(), md5=md5.lower(), progress=progress or _silent)
    assert target.sha256 or target.md5, "a checksum is required"
    with _disk(target.path):
        target.path.parent.mkdir(parents=True, exist_ok=True)
        if target.path.is_file() and target.digest(target.path) == target.checksum:
            target.progress(size, size)
            return
    problems: list[UdbenchError] = []
    for url in [urls] if isinstance(urls, str) else urls:
        try:
            _transfer(url, target)
            _check(url, target)
            return
        except DiskFullError:
            raise
        except UdbenchError as problem:
            problems.append(problem)
    raise _combined(problems)


def fetch_bytes(url: str, most: int) -> bytes:
    """Download a small file without a checksum over https, at most `most` bytes.

    Plain http is accepted only from this machine, and never as the target of a redirect. Nothing is written to disk.
    Raises DataError for other addresses and too many bytes, UnreachableError if no host answers, UdbenchError for
    refusals and broken transfers.
    """
    _check_safe(url, url)
    name = urllib.parse.urlsplit(url).path.rpartition("/")[2] or url
    target = _Target(path=Path(name), size=most, sha256="", md5="", progress=_silent, safe=True)
    response = _request(url, target, 0)
    assert response is not None
    with response:
        stated = response.headers.get("Content-Length", "")
        if stated.isdigit() and int(stated) > most:
            raise _too_long(url, target, f"{int(stated):,}")
        try:
            content = response.read(most + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UdbenchError(f"{url}: the transfer broke off ({_reason(error)}); nothing was kept") from error
    if len(content) > most:
        raise _too_long(url, target, "more")
    if stated.isdigit() and len(content) < int(stated):
        raise UdbenchError(
            f"{url}: the transfer ended after {len(content):,} of {int(stated):,} bytes; nothing was kept"
        )
    return content


def _check_safe(url: str, requested: str) -> None:
    """Raise DataError for an address whose response could be modified in transit."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
    except ValueError as error:
        raise DataError(f"{requested}: not a web address: {error}") from None
    if scheme != "https" and not (scheme == "http" and host in ("127.0.0.1", "::1", "localhost")):
        where = "" if url == requested else f" (it redirects to {url})"
        raise DataError(f"{requested}: only https is allowed, since there is no checksum to verify{where}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    path: Path
    size: int
    sha256: str
    md5: str
    progress: ByteProgress
    safe: bool = False

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    @property
    def checksum(self) -> str:
        return self.sha256 or self.md5

    @property
    def kind(self) -> str:
        return "sha256" if self.sha256 else "md5"

    def digest(self, file: Path) -> str:
        with file.open("rb") as opened:
            # most data sets publish only an md5: it detects damage, though not an attack
            new = hashlib.sha256 if self.sha256 else lambda: hashlib.md5(usedforsecurity=False)
            return hashlib.file_digest(opened, new).hexdigest()


def _transfer(url: str, target: _Target) -> None:
    """Download the missing bytes of the part, resuming where the server supports it."""
    have = target.part.stat().st_size if target.part.is_file() else 0
    if have == target.size:
        return
    if have > target.size:
        target.part.unlink()
        have = 0
    response = _request(url, target, have)
    if have and (response is None or not _continues_at(response, have)):
        if response is not None and response.status == http.client.OK:
            have = 0
        else:  # a range other than the requested one: start again from the beginning
            if response is not None:
                response.close()
            target.part.unlink()
            have, response = 0, _request(url, target, 0)
    assert response is not None
    with response:
        stated = response.headers.get("Content-Length", "")
        whole = have + int(stated) if stated.isdigit() else None
        if whole is not None and whole > target.size:
            raise _too_long(url, target, f"{whole:,}")
        if (free := shutil.disk_usage(target.part.parent).free) < (whole or target.size) - have:
            raise DiskFullError(
                f"{target.path}: the disk is full: {(whole or target.size) - have:,} bytes are missing, {free:,} are "
                "free; free some space, or choose a folder on another disk"
            )
        have = _receive(url, response, target, have)
    if whole is not None and have < whole:
        raise UdbenchError(
            f"{url}: the transfer ended after {have:,} of {whole:,} bytes; they are kept, try again to resume"
        )


def _request(url: str, target: _Target, have: int) -> http.client.HTTPResponse | None:
    """Send the request and return the response; None if the server cannot resume at `have`."""
    headers = {"User-Agent": "udbench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    what = f"{target.path.name} from {url}"
    try:
        return _opener(target.safe).open(urllib.request.Request(url, headers=headers), timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        if error.code < 400:
            to = error.headers.get("Location", "another address")
            raise UdbenchError(f"cannot fetch {what}: it redirects to {to}, which is not followed") from error
        hints = {403: "access is restricted", 404: "it no longer exists", 429: "too many requests; wait"}
        hint = hints.get(error.code, "try again later")
        raise UdbenchError(f"cannot fetch {what}: the server answers {error.code} {error.reason} ({hint})") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            raise UdbenchError(f"cannot fetch {what}: its certificate is not trusted: {reason}") from error
        if isinstance(reason, str):  # urllib's own: an address that it cannot parse
            raise UdbenchError(f"cannot fetch {what}: {reason}") from error
        host = urllib.parse.urlsplit(url).hostname
        raise UnreachableError(
            f"cannot fetch {what}: there is no network, or {host} does not answer ({_reason(reason)})"
        ) from error


def _continues_at(response: http.client.HTTPResponse, have: int) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", response.headers.get("Content-Range", ""))
    return response.status == http.client.PARTIAL_CONTENT and found is not None and int(found[1]) == have


def _receive(url: str, response: http.client.HTTPResponse, target: _Target, have: int) -> int:
    with _disk(target.part), target.part.open("ab" if have else "wb") as part:
        target.progress(have, target.size)
        for block in _blocks(url, response):
            have += len(block)
            if have > target.size:
                target.part.unlink()
                raise _too_long(url, target, "more")
            part.write(block)
            target.progress(have, target.size)
    return have


def _blocks(url: str, response: IO[bytes]) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except http.client.IncompleteRead as error:
            block, response = error.partial, io.BytesIO()
        except (OSError, http.client.HTTPException) as error:
            raise UdbenchError(
                f"{url}: the transfer broke off ({_reason(error)}); the received part is kept, try again to resume"
            ) from error
        if not block:
            return
        yield block


def _check(url: str, target: _Target) -> None:
    with _disk(target.path):
        received = target.digest(target.part)
        if received != target.checksum:
            target.part.unlink()
            raise DataError(
                f"{url}: the received file is not the expected {target.path.name}: its {target.kind} is {received}, "
                f"expected {target.checksum}; it was removed. Try again; if it happens again, the file was changed on "
                "the server: get it by hand from elsewhere"
            )
        target.part.replace(target.path)
        sync_folder(target.path.parent)
    target.progress(target.size, target.size)


def _combined(problems: list[UdbenchError]) -> UdbenchError:
    """Combine the errors of all attempts: wrong bytes come before a refusal, and a refusal before no answer."""
    first = min(problems, key=lambda p: (not isinstance(p, DataError), isinstance(p, UnreachableError)))
    return type(first)("; ".join(map(str, [first, *(p for p in problems if p is not first)])))


def _too_long(url: str, target: _Target, received: str) -> DataError:
    return DataError(
        f"{url}: sends {received} bytes where {target.path.name} has at most {target.size:,}; nothing was downloaded"
    )


def _reason(error: BaseException | str) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _silent(_done: int, _total: int) -> None:
    pass


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Convert the operating system's errors to UdbenchError."""
    try:
        yield
    except OSError as error:
        raise explained(error, path) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, safe: bool) -> None:
        self._safe = safe

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)
        if self._safe:
            _check_safe(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)


def _opener(safe: bool = False) -> urllib.request.OpenerDirector:
    """An opener for web addresses only: urllib's default one also accepts file:// and ftp://."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(safe),
        _Http(),
        _Https(),
    ):
        opener.add_handler(handler)
    return opener
