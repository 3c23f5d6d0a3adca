"""Archives of others: unpacked whole, or not at all and with a sentence."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from udbench.data.archives import unpack
from udbench.errors import DataError, UdbenchError

FILES = {"top/a.txt": b"a" * 5000, "top/deep/b.bin": os.urandom(70_000), "c": b""}


def zipped(path: Path, files: dict[str, bytes] | None = None, mode: int = 0, **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as packed:
        for name, content in (files or FILES).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode or stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, content)
    return path


def tarred(path: Path, kind: str = "", files: dict[str, bytes] | None = None, change: Callable | None = None) -> Path:
    with tarfile.open(path, f"w:{kind}") as packed:
        for name, content in (files or FILES).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change:
                change(info)
            packed.addfile(info, io.BytesIO(content))
    return path


def unpacked(archive: Path, max_bytes: int = 1_000_000, max_members: int = 100) -> Path:
    folder = archive.parent / "out"
    unpack(archive, folder, max_bytes=max_bytes, max_members=max_members)
    return folder


def refused(archive: Path, words: str, **bounds: int) -> None:
    """It is refused with these words, naming the archive, and nothing is there that was not before."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError, match=words) as said:
        unpacked(archive, **bounds)
    assert archive.name in str(said.value) and "\n" not in str(said.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", ["zip", "", "gz", "xz", "bz2"])
def test_every_format_is_known_by_its_content_and_unpacked_whole(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "some.bin"
    if kind == "zip":
        zipped(archive)
    else:
        tarred(archive, kind)
    (tmp_path / ".out.unpacking").mkdir()
    (tmp_path / ".out.unpacking" / "leftover").write_text("of an attempt that was killed")
    folder = unpacked(archive)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES and sorted(each.name for each in tmp_path.iterdir()) == ["out", "some.bin"]
    assert not (folder / "c").stat().st_mode & 0o111
    with pytest.raises(DataError, match="exists already"):
        unpacked(archive)


def test_folders_and_dots_in_names_are_taken(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        for name in (".", "./d", "./d"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            packed.addfile(info)
        packed.addfile(tarfile.TarInfo("./d/e"))
    assert (unpacked(tmp_path / "x.tar") / "d" / "e").read_bytes() == b""


OUTSIDE = ["/etc/evil", "../evil", "a/../../evil", "C:/evil", "c:evil", "a\\..\\evil"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_nothing_lands_outside_the_folder(tmp_path: Path, make: Callable, name: str) -> None:
    archive = make(tmp_path / "evil.bin", files={"fine": b"1", name: b"2"})
    refused(archive, r"points outside the folder; do not trust this archive")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_has_no_links_or_devices(tmp_path: Path, kind: int) -> None:
    refused(zipped(tmp_path / "evil.zip", {"link": b"/etc/passwd"}, kind | 0o777), "'link' is a link or a device")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("target", ["/etc", "../..", "fine"])
def test_a_tar_has_no_links_or_devices(tmp_path: Path, kind: bytes, target: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "link":
            info.type, info.linkname, info.size = kind, target, 0

    refused(tarred(tmp_path / "evil.tar", files={"fine": b"1", "link": b""}, change=change), "'link'")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_name_comes_once(tmp_path: Path, make: Callable, recwarn: pytest.WarningsRecorder) -> None:
    refused(make(tmp_path / "twice.bin", files={"a/b": b"1", "a//b": b"2"}), "'a//b' is in it twice")
    refused(make(tmp_path / "both.bin", files={"a": b"1", "a/b": b"2"}), "'a/b' needs a folder where it has a file")
    refused(make(tmp_path / "htob.bin", files={"a/b": b"1", "a": b"2"}), "'a' is in it twice")


@pytest.mark.parametrize("make", [zipped, tarred, lambda path, **k: tarred(path, "xz", **k)])
def test_bombs_are_stopped_while_they_unpack(tmp_path: Path, make: Callable) -> None:
    archive = make(tmp_path / "bomb.bin", files={"zeros": bytes(2_000_000)})
    refused(archive, r"unpacks to more than 1,000,000 bytes")
    archive = make(tmp_path / "many.bin", files={f"{i}": b"" for i in range(101)})
    refused(archive, r"has more than 100 members")


def test_a_zip_that_lies_about_its_sizes_is_stopped_too(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "liar.zip", {"zeros": bytes(2_000_000)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((2_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive, r"unpacks to more than 1,000,000 bytes|damaged or truncated at 'zeros'")


def test_long_headers_of_a_tar_count(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"comment": "x" * 5_000_000}

    refused(tarred(tmp_path / "long.tar", "gz", change=change), "unpacks to more than")


@pytest.mark.parametrize("kind", ["zip", "", "gz", "xz", "bz2"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_an_archive_that_is_cut_off_is_named(tmp_path: Path, kind: str, share: float) -> None:
    archive = zipped(tmp_path / "cut.bin") if kind == "zip" else tarred(tmp_path / "cut.bin", kind)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    refused(archive, "damaged or truncated|get the archive again")


@pytest.mark.parametrize("kind", ["zip", "gz", "xz", "bz2"])
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    archive = zipped(tmp_path / "bad.bin") if kind == "zip" else tarred(tmp_path / "bad.bin", kind)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    refused(archive, "damaged or truncated")


def test_encrypted_unknown_and_empty_ones_are_named(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "locked.zip", {"a": b"1"})
    content = archive.read_bytes()
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(magic) + offset
        content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
    archive.write_bytes(content)
    refused(archive, "'a' is encrypted")
    (tmp_path / "page.tar").write_text("<html>not found</html>" * 50)
    refused(tmp_path / "page.tar", "is neither a zip nor a tar")
    (tmp_path / "none").write_bytes(b"")
    refused(tmp_path / "none", "is neither a zip nor a tar")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    refused(tmp_path / "empty.zip", "is empty")
    with pytest.raises(UdbenchError, match="No such file"):
        unpacked(tmp_path / "nowhere.zip")
