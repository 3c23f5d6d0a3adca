"""Fetching a file from the network: gone on with where it stopped, and checked before it gets its name."""

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

Tell = Callable[[int, int], None]


class UnreachableError(UdbenchError):
    """There is no network, or a host does not answer."""


def fetch_file(
    urls: str | Sequence[str],
    path: Path,
    *,
    size: int,
    sha256: str = "",
    md5: str = "",
    tell: Tell | None = None,
) -> None:
    """Fetch a file over http(s); the first of `urls` that has it is enough, and all have the same bytes.

    `size` is the most that is taken, in bytes; `tell(done, size)` is called as they come. What came is kept beside
    `path` as `.part` when the transfer breaks off, and a later call goes on there. The whole is compared with
    `sha256` or `md5` (one of them is needed) before the file gets its name; a file that is there already and right
    is not fetched again. Raises DataError for a wrong checksum or too many bytes (and drops what came),
    UnreachableError where no host answers, UdbenchError for refusals and broken transfers, DiskFullError.
    """
    wanted = _Wanted(path=Path(path), size=size, sha256=sha256.lower(), md5=md5.lower(), tell=tell or _silent)
    assert wanted.sha256 or wanted.md5, "without a checksum nobody knows what was fetched"
    with _disk(wanted.path):
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        if wanted.path.is_file() and wanted.digest(wanted.path) == wanted.checksum:
            wanted.tell(size, size)
            return
    problems: list[UdbenchError] = []
    for url in [urls] if isinstance(urls, str) else urls:
        try:
            _transfer(url, wanted)
            _check(url, wanted)
            return
        except DiskFullError:
            raise
        except UdbenchError as problem:
            problems.append(problem)
    raise _together(problems)


def fetch_bytes(url: str, most: int) -> bytes:
    """A small file over https, at most so many bytes, for what has no checksum to compare it with.

    Plain http is taken from this machine alone, and nobody may be sent on to it. Nothing is written. Raises DataError
    for other addresses and too many bytes, UnreachableError where no host answers, UdbenchError for refusals and broken
    transfers.
    """
    _check_safe(url, url)
    name = urllib.parse.urlsplit(url).path.rpartition("/")[2] or url
    wanted = _Wanted(path=Path(name), size=most, sha256="", md5="", tell=_silent, safe=True)
    response = _ask(url, wanted, 0)
    assert response is not None
    with response:
        stated = response.headers.get("Content-Length", "")
        if stated.isdigit() and int(stated) > most:
            raise _too_long(url, wanted, f"{int(stated):,}")
        try:
            content = response.read(most + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UdbenchError(f"{url}: the transfer broke off ({_reason(error)}); nothing of it was kept") from error
    if len(content) > most:
        raise _too_long(url, wanted, "more")
    if stated.isdigit() and len(content) < int(stated):
        raise UdbenchError(
            f"{url}: the transfer ended after {len(content):,} of {int(stated):,} bytes; nothing was kept"
        )
    return content


def _check_safe(url: str, asked: str) -> None:
    """Raises DataError for an address whose answer somebody on the way could have changed."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
    except ValueError as error:
        raise DataError(f"{asked}: no web address: {error}") from None
    if scheme != "https" and not (scheme == "http" and host in ("127.0.0.1", "::1", "localhost")):
        where = "" if url == asked else f" (it sends on to {url})"
        raise DataError(f"{asked}: only https is fetched, since there is no checksum to compare with{where}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    path: Path
    size: int
    sha256: str
    md5: str
    tell: Tell
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
            # md5 is what the makers state of most sets: it finds damage, as there is nothing better to compare with
            new = hashlib.sha256 if self.sha256 else lambda: hashlib.md5(usedforsecurity=False)
            return hashlib.file_digest(opened, new).hexdigest()


def _transfer(url: str, wanted: _Wanted) -> None:
    """Bring the part to its whole length, as far as the server goes along."""
    have = wanted.part.stat().st_size if wanted.part.is_file() else 0
    if have == wanted.size:
        return
    if have > wanted.size:
        wanted.part.unlink()
        have = 0
    response = _ask(url, wanted, have)
    if have and (response is None or not _goes_on(response, have)):
        if response is not None and response.status == http.client.OK:
            have = 0
        else:  # a range that is not the one that was asked for: all of it again
            if response is not None:
                response.close()
            wanted.part.unlink()
            have, response = 0, _ask(url, wanted, 0)
    assert response is not None
    with response:
        stated = response.headers.get("Content-Length", "")
        whole = have + int(stated) if stated.isdigit() else None
        if whole is not None and whole > wanted.size:
            raise _too_long(url, wanted, f"{whole:,}")
        if (free := shutil.disk_usage(wanted.part.parent).free) < (whole or wanted.size) - have:
            raise DiskFullError(
                f"{wanted.path}: the disk is full: {(whole or wanted.size) - have:,} bytes are to come, {free:,} are "
                "free; make room, or choose a folder on another disk"
            )
        have = _receive(url, response, wanted, have)
    if whole is not None and have < whole:
        raise UdbenchError(
            f"{url}: the transfer ended after {have:,} of {whole:,} bytes; what came is kept, try again to go on"
        )


def _ask(url: str, wanted: _Wanted, have: int) -> http.client.HTTPResponse | None:
    """The server's answer; None where it will not go on at `have`."""
    headers = {"User-Agent": "udbench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    what = f"{wanted.path.name} from {url}"
    try:
        return _opener(wanted.safe).open(urllib.request.Request(url, headers=headers), timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        if error.code < 400:
            to = error.headers.get("Location", "another address")
            raise UdbenchError(f"cannot fetch {what}: it sends on to {to}, where it is not followed") from error
        hints = {403: "it is not given to everybody", 404: "it is no longer there", 429: "too many have asked; wait"}
        hint = hints.get(error.code, "try again later")
        raise UdbenchError(f"cannot fetch {what}: the server answers {error.code} {error.reason} ({hint})") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            raise UdbenchError(f"cannot fetch {what}: its certificate is not trusted: {reason}") from error
        if isinstance(reason, str):  # urllib's own: an address that it does not understand
            raise UdbenchError(f"cannot fetch {what}: {reason}") from error
        host = urllib.parse.urlsplit(url).hostname
        raise UnreachableError(
            f"cannot fetch {what}: there is no network, or {host} does not answer ({_reason(reason)})"
        ) from error


def _goes_on(response: http.client.HTTPResponse, have: int) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", response.headers.get("Content-Range", ""))
    return response.status == http.client.PARTIAL_CONTENT and found is not None and int(found[1]) == have


def _receive(url: str, response: http.client.HTTPResponse, wanted: _Wanted, have: int) -> int:
    with _disk(wanted.part), wanted.part.open("ab" if have else "wb") as part:
        wanted.tell(have, wanted.size)
        for block in _blocks(url, response):
            have += len(block)
            if have > wanted.size:
                wanted.part.unlink()
                raise _too_long(url, wanted, "more")
            part.write(block)
            wanted.tell(have, wanted.size)
    return have


def _blocks(url: str, response: IO[bytes]) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except http.client.IncompleteRead as error:
            block, response = error.partial, io.BytesIO()
        except (OSError, http.client.HTTPException) as error:
            raise UdbenchError(
                f"{url}: the transfer broke off ({_reason(error)}); what came is kept, try again to go on"
            ) from error
        if not block:
            return
        yield block


def _check(url: str, wanted: _Wanted) -> None:
    with _disk(wanted.path):
        found = wanted.digest(wanted.part)
        if found != wanted.checksum:
            wanted.part.unlink()
            raise DataError(
                f"{url}: what came is not {wanted.path.name} as it should be: its {wanted.kind} is {found}, expected "
                f"{wanted.checksum}; it was removed. Try again; if it stays so, the file was changed there: get it "
                "by hand from elsewhere"
            )
        wanted.part.replace(wanted.path)
        sync_folder(wanted.path.parent)
    wanted.tell(wanted.size, wanted.size)


def _together(problems: list[UdbenchError]) -> UdbenchError:
    """One error of all attempts. Wrong bytes weigh more than a refusal, and that more than silence."""
    first = min(problems, key=lambda p: (not isinstance(p, DataError), isinstance(p, UnreachableError)))
    return type(first)("; ".join(map(str, [first, *(p for p in problems if p is not first)])))


def _too_long(url: str, wanted: _Wanted, found: str) -> DataError:
    return DataError(
        f"{url}: sends {found} bytes where {wanted.path.name} has at most {wanted.size:,}; it was not taken"
    )


def _reason(error: BaseException | str) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _silent(_done: int, _total: int) -> None:
    pass


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Refusals of the disk in words."""
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
    """Web addresses only: urllib's own opener takes file:// and ftp:// too."""
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
