"""Files from the network: gone on with, checked, refused; and a domain's folder that is whole or not there."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.server import Server, closed_address, serving
from udbench.data.download import download
from udbench.data.fetch import UnreachableError, fetch_file
from udbench.data.folders import folder_domain
from udbench.data.locations import domain_root
from udbench.errors import DataError, UdbenchError
from udbench.files import DiskFullError
from udbench.plugin.contracts_data import Domain, Download

CONTENT = os.urandom(700_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({"a.bin": CONTENT, "b.bin": CONTENT, "other.bin": b"other"}) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "a.bin"


def part(path: Path) -> Path:
    return path.with_name("a.bin.part")


def fetch(server: Server, path: Path, name: str = "a.bin", size: int = len(CONTENT), sha256: str = SHA) -> None:
    fetch_file(server.url + name, path, size=size, sha256=sha256)


def test_a_file_comes_whole_with_its_bytes_told_and_is_not_fetched_twice(server: Server, path: Path) -> None:
    told: list[tuple[int, int]] = []
    for _ in range(2):
        fetch_file(server.url + "a.bin", path, size=len(CONTENT), md5=MD5, progress=lambda *at: told.append(at))
    assert path.read_bytes() == CONTENT and not part(path).exists() and len(server.asked) == 1
    done = [at for at, _ in told]
    assert done == sorted(done) and done[0] == 0 and len(done) > 3 and {total for _, total in told} == {len(CONTENT)}


@pytest.mark.parametrize("ranges", [True, False, "wrong"])
def test_what_came_is_gone_on_with_and_begun_anew_where_the_server_will_not(
    server: Server, path: Path, ranges: bool | str
) -> None:
    server.cut = 300_000
    with pytest.raises(UdbenchError, match=r"ended after 300,000 of 700,000 bytes; they are kept"):
        fetch(server, path)
    assert part(path).read_bytes() == CONTENT[:300_000] and not path.exists()
    server.cut, server.ranges = None, ranges
    fetch(server, path)
    assert path.read_bytes() == CONTENT and server.asked[1] == ("/a.bin", "bytes=300000-")
    assert len(server.asked) == (3 if ranges == "wrong" else 2)


def test_a_part_that_is_longer_than_the_servers_file_is_begun_anew(server: Server, path: Path) -> None:
    path.parent.mkdir()
    part(path).write_bytes(b"x" * 800_000)
    fetch(server, path, size=900_000)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_complete_is_only_checked(server: Server, path: Path) -> None:
    path.parent.mkdir()
    part(path).write_bytes(CONTENT)
    fetch(server, path)
    assert path.read_bytes() == CONTENT and not server.asked


def test_a_wrong_checksum_names_both_and_leaves_nothing(server: Server, path: Path) -> None:
    with pytest.raises(DataError, match=rf"a\.bin.*its sha256 is {SHA}, expected {'0' * 64}; it was removed"):
        fetch(server, path, sha256="0" * 64)
    assert list(path.parent.iterdir()) == []
    path.parent.joinpath("a.bin.part").write_bytes(b"someone else's beginning")
    with pytest.raises(DataError, match="it was removed"):
        fetch(server, path)
    fetch(server, path)
    assert path.read_bytes() == CONTENT


def test_more_bytes_than_were_announced_are_not_taken(server: Server, path: Path) -> None:
    with pytest.raises(DataError, match=r"sends 700,000 bytes where a\.bin has at most 1,000"):
        fetch(server, path, size=1000)
    server.sizes = False
    with pytest.raises(DataError, match=r"sends more bytes where a\.bin has at most 1,000"):
        fetch(server, path, size=1000)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_a_refusal_is_named_with_its_number(server: Server, path: Path, status: int) -> None:
    server.answers["/a.bin"] = status
    with pytest.raises(UdbenchError, match=rf"cannot fetch a\.bin from http.*: the server answers {status} ") as said:
        fetch(server, path)
    assert not isinstance(said.value, UnreachableError) and "\n" not in str(said.value)


def test_mirrors_are_asked_in_order_and_go_on_with_each_others_bytes(server: Server, path: Path) -> None:
    server.answers["/gone.bin"] = 404
    urls = [server.url + name for name in ("gone.bin", "other.bin", "a.bin")]
    fetch_file(urls, path, size=len(CONTENT), sha256=SHA)
    assert path.read_bytes() == CONTENT and [asked for asked, _ in server.asked] == [
        "/gone.bin",
        "/other.bin",
        "/a.bin",
    ]
    path.unlink()
    part(path).write_bytes(CONTENT[:5])
    fetch_file([closed_address(), server.url + "b.bin"], path, size=len(CONTENT), sha256=SHA)
    assert path.read_bytes() == CONTENT and server.asked[-1] == ("/b.bin", "bytes=5-")
    with pytest.raises(DataError, match=r"its sha256 is .*the server answers 404"):
        fetch_file(urls[:2], path, size=len(CONTENT), sha256="1" * 64)


def test_where_nobody_answers_it_says_so_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UnreachableError, match=r"cannot fetch a\.bin.*: there is no network, or 127\.0\.0\.1 does not answer"
    ):
        fetch_file([closed_address() + "a.bin"], path, size=5, sha256=SHA)

    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(UnreachableError, match=r"there is no network, or no-such-host\.invalid does not answer"):
        fetch_file(["http://no-such-host.invalid/a.bin"], path, size=5, sha256=SHA)


def test_only_web_addresses_are_followed(server: Server, path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    local = (tmp_path / "secret").as_uri()
    server.answers |= {"/a.bin": "/b.bin", "/away.bin": local, "/ftp.bin": "ftp://127.0.0.1/x"}
    fetch(server, path)
    path.unlink()
    for name in ("away.bin", "ftp.bin"):
        with pytest.raises(UdbenchError, match=r"it redirects to (file|ftp)://.*, which is not followed"):
            fetch(server, path, name)
    with pytest.raises(UdbenchError, match="unknown url type: file"):
        fetch_file(local, path, size=len(CONTENT), sha256=SHA)
    assert not path.exists()


def test_a_full_disk_and_a_locked_folder_are_told_as_such(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("udbench.data.fetch.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DiskFullError, match="the disk is full: 700,000 bytes are missing, 10 are free"):
        fetch(server, path)
    path.parent.joinpath("file").write_text("")
    with pytest.raises(UdbenchError, match="cannot be written"):
        fetch(server, path.parent / "file" / "a.bin")


# --- a domain ---


@pytest.fixture
def domain(images: Path, server: Server) -> Domain:
    """A domain whose one file is fetched from the server."""

    def bring(folder: Path, tell) -> None:
        fetch_file(server.url + "a.bin", folder / "a.bin", size=len(CONTENT), sha256=SHA, progress=tell)

    return replace(folder_domain(images), root=None, download=Download(origin="here", size=len(CONTENT), fetch=bring))


@pytest.mark.parametrize("named", [True, False])
def test_a_domains_folder_has_its_name_when_all_is_there(
    domain: Domain, server: Server, tmp_path: Path, cache: Path, named: bool
) -> None:
    data = tmp_path if named else None
    place = (tmp_path if named else cache / "images") / domain.spec.name
    place.mkdir(parents=True)
    assert domain_root(domain, data) is None, "an empty folder holds no images"
    server.cut = 1000
    with pytest.raises(UdbenchError, match="ended after 1,000"):
        download(domain, data, lambda *_: None)
    assert domain_root(domain, data) is None and place.with_name(place.name + ".partial").is_dir()
    server.cut = None
    assert download(domain, data, lambda *_: None) == place == domain_root(domain, data)
    assert [file.name for file in place.iterdir()] == ["a.bin"] and server.asked[1][1] == "bytes=1000-"
    assert sorted(each.name for each in place.parent.iterdir() if domain.spec.name in each.name) == [place.name]
    download(domain, data, lambda *_: None)
    assert len(server.asked) == 2, "what is there is not fetched again"


def test_images_in_the_data_folder_come_before_downloaded_ones(domain: Domain, tmp_path: Path, cache: Path) -> None:
    downloaded = download(domain, None, lambda *_: None)
    assert domain_root(domain, tmp_path) == downloaded == cache / "images" / domain.spec.name
    (tmp_path / domain.spec.name).mkdir()
    (tmp_path / domain.spec.name / "x.png").write_text("")
    assert domain_root(domain, tmp_path) == tmp_path / domain.spec.name


def test_nothing_is_left_of_a_download_that_could_not_begin(domain: Domain, server: Server, cache: Path) -> None:
    server.answers["/a.bin"] = 404
    with pytest.raises(UdbenchError, match="404"):
        download(domain, None, lambda *_: None)
    assert [each.name for each in (cache / "images").iterdir() if each.name[0] != "."] == []


def test_ctrl_c_leaves_a_part_to_go_on_with_and_no_images(domain: Domain, cache: Path) -> None:
    def press(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(domain, None, press)
    (left,) = (cache / "images").glob("*.partial/*")
    assert left.name == "a.bin.part" and left.stat().st_size > 0
    assert domain_root(domain, None) is None
    download(domain, None, lambda *_: None)
