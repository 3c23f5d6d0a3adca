"""Where files lie in tars, and what is refused of tars."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile

import numpy as np
import pytest

from udbench import DataError
from udbench.testing import write_tar
from udbench_domains.readers import columns as large
from udbench_domains.readers.columns import Columns, Handles, first_twice
from udbench_domains.readers.tars import members

FILES = {"a/one.jpg": b"1" * 700, "./a/two.jpg": b"2" * 512, "b//3.jpg": b"", "c/" + "long" * 40 + ".jpg": b"4" * 13}
NAMES = ["a/one.jpg", "a/two.jpg", "b/3.jpg", "c/" + "long" * 40 + ".jpg"]


def packed(path, files=FILES, **more):
    with tarfile.open(path, "w", **more) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def held(path, inside=None):
    data = path.read_bytes()
    return {m.name: data[m.offset : m.offset + m.size] for m in members("d", path, inside)}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_files_lie_where_it_says(tmp_path, form):
    files = dict(FILES)
    if form == tarfile.USTAR_FORMAT:
        files = {("d" * 90 + "/") + name.replace("long" * 40, "l" * 60): data for name, data in files.items()}
    found = held(packed(tmp_path / "a.tar", files, format=form))
    assert list(found.values()) == list(FILES.values())
    if form != tarfile.USTAR_FORMAT:
        assert list(found) == NAMES
    else:
        assert next(iter(found)) == "d" * 90 + "/a/one.jpg"


def test_what_is_said_of_all_files_holds_for_the_simplest_too(tmp_path):
    path = packed(tmp_path / "a.tar", format=tarfile.PAX_FORMAT, pax_headers={"comment": "é"})
    assert list(held(path)) == NAMES
    packed(path, {"a": b"1", "b": b"2"}, format=tarfile.PAX_FORMAT, pax_headers={"path": "c"})
    with tarfile.open(path) as tar:
        assert [member.name for member in members("d", path)] == tar.getnames() == ["c", "c"]


def test_names_need_not_be_ascii_or_utf_8(tmp_path):
    packed(tmp_path / "a.tar", {"é.jpg": b"1", "e\udce9.jpg": b"2"}, format=tarfile.GNU_FORMAT, encoding="utf-8")
    assert held(tmp_path / "a.tar") == {"é.jpg": b"1", "e\udce9.jpg": b"2"}


def test_links_folders_devices_and_hidden_files_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            entry = tarfile.TarInfo(f"x{kind.decode()}")
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
        for name in ("a/._b.jpg", "a/b.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"b"))
    assert held(tmp_path / "a.tar") == {"a/b.jpg": b"b"}


def test_a_tar_in_a_tar_is_read_by_absolute_offsets(tmp_path):
    inner = packed(tmp_path / "inner.tar").read_bytes()
    outer = write_tar(tmp_path / "outer.tar", {"readme": b"x", "n1.tar": inner})
    second = list(members("d", outer))[1]
    assert held(outer, second) == dict(zip(NAMES, FILES.values(), strict=True))


@pytest.mark.parametrize(
    ("pack", "form"),
    [(gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz"), (lambda _: b"PK\x03\x04", "zip")],
)
def test_compressed_tars_are_refused(tmp_path, pack, form):
    data = pack(packed(tmp_path / "a.tar").read_bytes())
    (tmp_path / "b.tar").write_bytes(data)
    with pytest.raises(DataError, match=rf"^d: .*b\.tar: compressed \({form}\), .*; unpack it, or make it a plain tar"):
        held(tmp_path / "b.tar")
    outer = write_tar(tmp_path / "outer.tar", {"n1.tar": data})
    with pytest.raises(DataError, match=r"^d: .*outer\.tar: n1\.tar: compressed .* unpack the outer tar"):
        held(outer, next(iter(members("d", outer))))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_that_is_cut_anywhere_is_refused(tmp_path, form):
    path = packed(tmp_path / "a.tar", format=form)
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for length in [*range(0, end, 37), *range(0, end + 1, 512), end + 511]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"^d: .*a\.tar: cut short: it ends at byte {length}[,;]? .*get it again"):
            held(path)
    path.write_bytes(whole[: end + 512])
    assert list(held(path)) == NAMES


def test_a_tar_in_a_tar_that_is_cut_is_named(tmp_path):
    inner = packed(tmp_path / "inner.tar").read_bytes()
    outer = write_tar(tmp_path / "outer.tar", {"n1.tar": inner[:700]})
    with pytest.raises(DataError, match=r"^d: .*outer\.tar: n1\.tar: cut short: it ends at byte 700"):
        held(outer, next(iter(members("d", outer))))


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = packed(tmp_path / "a.tar")
    data = bytearray(path.read_bytes())
    data[512 + 1024 + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"^d: .*a\.tar: the header at byte 1536 is damaged; get it again"):
        held(path)


def test_tars_put_behind_one_another_lose_nothing_silently(tmp_path):
    path = packed(tmp_path / "a.tar")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match="something follows its end"):
        held(path)


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "a/..", "./../x.jpg"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_names_that_point_outside_are_refused_by_name(tmp_path, name, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type = kind
        tar.addfile(entry, io.BytesIO(b""))
    with pytest.raises(DataError, match=rf"^d: .*a\.tar: holds '{name}', (an absolute name|which points outside)"):
        held(tmp_path / "a.tar")


def test_sparse_files_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        entry = tarfile.TarInfo("a.jpg")
        entry.type = tarfile.GNUTYPE_SPARSE
        tar.addfile(entry)
    with pytest.raises(DataError, match=r"'a\.jpg' is stored as a sparse file"):
        held(tmp_path / "a.tar")


@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"K", b"S"])
@pytest.mark.parametrize("size", [-512, -1, 1 << 40, (1 << 62)])
def test_sizes_that_cannot_be_end_in_one_sentence(tmp_path, kind, size):
    entry = tarfile.TarInfo("a.jpg")
    entry.type = kind
    head = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = (
        (size % (1 << 95) | 1 << 95).to_bytes(12, "big") if size > 0 else size.to_bytes(12, "big", signed=True)
    )
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    (tmp_path / "a.tar").write_bytes(bytes(head) + bytes(4096))
    with pytest.raises(DataError, match=r"^d: .*a\.tar: .*(damaged|cut short|sparse)"):
        held(tmp_path / "a.tar")


def test_damage_is_told_or_changes_contents_alone(tmp_path):
    rng = np.random.default_rng(0)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = packed(tmp_path / "a.tar", format=form, pax_headers={"comment": "é"} if form else {})
        whole = path.read_bytes()
        heads = [n for n in range(0, len(whole.rstrip(b"\0")) + 512, 512) if whole[n + 257 : n + 262] == b"ustar"]
        for n in range(500):
            data = bytearray(whole)
            for _ in range(1 + n % 3):
                data[heads[n % len(heads)] + int(rng.integers(0, 1024))] = int(rng.integers(0, 256))
            path.write_bytes(data)
            try:
                found = held(path)
            except DataError as error:
                assert "\n" not in str(error)
            else:
                assert len(found) == len(NAMES)


def places(tmp_path, count=3):
    columns = Columns("d")
    tars = [write_tar(tmp_path / f"{n}.tar", {"x.jpg": bytes([n]) * 600}) for n in range(count)]
    for n, path in enumerate(tars):
        for member in members("d", path):
            columns.add(member.name, 0, tar=n, offset=member.offset, size=member.size)
    return columns.in_tars(tars)


def test_few_files_stay_open_and_none_is_pickled(tmp_path, monkeypatch):
    monkeypatch.setattr(large, "MOST_OPEN", 2)
    source = places(tmp_path, 5)
    for _ in range(2):
        assert [source.read(i) for i in (0, 1, 2, 3, 4, 4, 0)] == [bytes([n]) * 600 for n in (0, 1, 2, 3, 4, 4, 0)]
    held_open = source.handles._files
    assert list(held_open) == [tmp_path / "4.tar", tmp_path / "0.tar"]
    other = pickle.loads(pickle.dumps(source))
    assert not other.handles._files
    assert other.read(2) == source.read(2)


def test_another_process_opens_its_own_files(tmp_path, monkeypatch):
    handles, path = Handles(), write_tar(tmp_path / "a.tar", {"x": b"x"})
    handles.read(path, 0, 1)
    first, lock = handles._files[path], handles._lock
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert handles.read(path, 512, 1) == b"x"
    assert first.closed
    assert handles._files[path] is not first
    assert handles._lock is not lock


def test_a_tar_that_was_cut_since_it_was_opened_is_told(tmp_path):
    source = places(tmp_path)
    os.truncate(tmp_path / "1.tar", 700)
    with pytest.raises(DataError, match=r"^d: .*1\.tar ends inside the image at byte 512: .*get it again"):
        source.read(1)


def test_columns_keep_rows_in_order_and_names_in_bounds(monkeypatch):
    monkeypatch.setattr(Columns, "_AT_ONCE", 3)
    columns = Columns("d")
    for n in range(8):
        columns.add("é" * n + "/x.jpg", n, tar=n % 2, offset=1 << 40, size=n)
    assert columns.name.tolist() == [("é" * n + "/x.jpg").encode() for n in range(8)]
    assert columns.numbers("label").tolist() == list(range(8))
    assert columns.in_tars([]).offset.tolist() == [1 << 40] * 8
    for name in ("x" * 401, "a\0b"):
        with pytest.raises(DataError, match=r"^d: the image name '.* is invalid"):
            columns.add(name, 0)


def test_a_name_that_stands_twice_is_found():
    names = np.array([f"{n}/{n % 7}.jpg" for n in range(1000)], dtype=np.bytes_)
    assert first_twice(names) is None
    names[500] = names[3]
    assert first_twice(names) == b"3/3.jpg"
