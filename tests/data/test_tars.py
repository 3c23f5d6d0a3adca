"""Tars are those of Python's tarfile, byte for byte."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from udbench.data.tars import TarWriter, header


@pytest.mark.parametrize("sizes", [[], [0], [1, 511, 512, 513], [10240, 3], [100_000] * 3])
def test_a_tar_is_the_one_that_tarfile_writes_and_its_hash_and_places_hold(sizes: list[int]) -> None:
    theirs, ours = io.BytesIO(), io.BytesIO()
    writer = TarWriter(ours)
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, size in enumerate(sizes):
            member = tarfile.TarInfo(f"{number:09d}.jpg")
            member.size = size
            data = bytes([number + 1]) * size
            archive.addfile(member, io.BytesIO(data))
            place = writer.add(member.name, data)
            assert ours.getvalue()[place : place + size] == data
    writer.end()
    assert ours.getvalue() == theirs.getvalue()
    assert writer.sha256 == hashlib.sha256(ours.getvalue()).hexdigest()


@pytest.mark.parametrize("size", [0, 7, 8, 10**6, 8**11 - 1])
@pytest.mark.parametrize("name", ["a", "000000123.jpg", "n" * 100])
def test_a_header_is_that_of_tarfile(name: str, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    assert header(name, size) == member.tobuf(tarfile.USTAR_FORMAT)
