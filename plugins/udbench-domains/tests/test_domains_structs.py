"""Struct arrays of MATLAB files, as imagenet's devkit has them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from udbench import DataError
from udbench.testing import write_mat
from udbench_domains.readers.mat import read_structs
from udbench_domains.trees import large as trees_large
from udbench_domains.trees.large import WNIDS

FIELDS = ("ILSVRC2012_ID", "WNID", "num_children")


def meta(tmp_path, *, packed=True, **variables):
    return write_mat(tmp_path / "meta.mat", packed=packed, **variables).read_bytes()


@pytest.mark.parametrize("packed", [True, False])
def test_structs_give_their_text_and_numbers(tmp_path, packed):
    data = meta(tmp_path, packed=packed, note=np.arange(3), synsets=trees_large.synsets(), other=np.eye(2))
    entries = read_structs(data, "f", "synsets", FIELDS)
    assert entries == [*((float(n), wnid, 0.0) for wnid, n in WNIDS.items()), (1001.0, "n00001740", 3.0)]
    assert read_structs(data, "f", "synsets", ("words",))[0] == ("a n01440764",)
    wide = trees_large.synsets()
    wide["words"][0, 0] = "Ωé"
    assert read_structs(meta(tmp_path, s=wide), "f", "s", ("words",))[0] == ("Ωé",)


def test_structs_of_the_other_byte_order():
    def part(kind, data):
        return struct.pack(">2I", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind, name, shape, rest):
        head = part(6, struct.pack(">2I", kind, 0)) + part(5, struct.pack(f">{len(shape)}i", *shape)) + part(1, name)
        return part(14, head + rest)

    text = matrix(4, b"", (1, 2), part(4, "né".encode("utf-16-be")))
    number = matrix(6, b"", (1, 1), part(3, struct.pack(">h", -300)))
    body = struct.pack(">2Hi", 4, 5, 8) + part(1, b"word\0\0\0\0id\0\0\0\0\0\0") + text + number
    data = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + matrix(2, b"s", (1, 1), body)
    assert read_structs(data, "f", "s", ("id", "word")) == [(-300.0, "né")]


@pytest.mark.parametrize(
    ("change", "fields", "says"),
    [
        (None, ("none",), "'synsets' has no field 'none'"),
        (("num_children", np.arange(2)), FIELDS, "the field 'num_children' of an entry is neither"),
        (("num_children", 1j), FIELDS, "the field 'num_children' of an entry is neither"),
        (("WNID", np.array(["ab", "cd"])), FIELDS, "the field 'WNID' of an entry is neither"),
        (("WNID", np.array([["a", 1]], dtype=object)), FIELDS, "the field 'WNID' of an entry is neither"),
    ],
    ids=range(5),
)
def test_structs_with_other_fields_are_refused(tmp_path, change, fields, says):
    synsets = trees_large.synsets()
    if change:
        synsets[change[0]][1, 0] = change[1]
    with pytest.raises(DataError, match=rf"^f: damaged or truncated \({says}.*get it again"):
        read_structs(meta(tmp_path, synsets=synsets), "f", "synsets", fields)


def test_what_is_no_struct_array_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"^f: the variable 'synsets' is not a struct array"):
        read_structs(meta(tmp_path, synsets=np.eye(2)), "f", "synsets", FIELDS)
    with pytest.raises(DataError, match=r"^f: the variable 'synsets' is missing"):
        read_structs(meta(tmp_path, other=trees_large.synsets()), "f", "synsets", FIELDS)
    data = meta(tmp_path, synsets=trees_large.synsets())
    with pytest.raises(DataError, match=r"^f: the variable 'synsets' is there twice"):
        read_structs(data + data[128:], "f", "synsets", FIELDS)
    for nothing in (b"", b"<html>" * 40, b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"):
        with pytest.raises(DataError, match=r"^f: not a MATLAB 5 file"):
            read_structs(nothing, "f", "synsets", FIELDS)


def test_structs_with_text_of_another_length_are_refused(tmp_path):
    whole = meta(tmp_path, packed=False, synsets=trees_large.synsets())
    shape = struct.pack("<4I", 5, 8, 1, 9)
    assert shape in whole
    with pytest.raises(DataError, match=r"^f: .*the field 'WNID' of an entry is neither"):
        read_structs(whole.replace(shape, struct.pack("<4I", 5, 8, 1, 8)), "f", "synsets", FIELDS)


@pytest.mark.parametrize("packed", [True, False])
def test_structs_that_are_cut_off_anywhere_are_refused(tmp_path, packed):
    whole = meta(tmp_path, packed=packed, synsets=trees_large.synsets())
    for length in range(128, len(whole)):
        with pytest.raises(DataError, match=r"^f: .*get it again"):
            read_structs(whole[:length], "f", "synsets", FIELDS)


@pytest.mark.parametrize("packed", [True, False])
def test_damage_to_structs_is_told_or_gives_other_values(tmp_path, packed):
    whole, rng = meta(tmp_path, packed=packed, synsets=trees_large.synsets()), np.random.default_rng(0)
    refusals = 0
    for n in range(3 * (len(whole) - 124)):
        data = bytearray(whole)
        data[124 + n % (len(whole) - 124)] ^= int(rng.integers(1, 256))
        try:
            entries = read_structs(bytes(data), "f", "synsets", FIELDS)
        except DataError as error:
            refusals += 1
            assert "\n" not in str(error)
        else:
            assert all(isinstance(field, str | float) for entry in entries for field in entry)
    assert refusals > (3 * (len(whole) - 124) * (0.98 if packed else 0.3))


def test_a_struct_array_that_states_gigabytes_is_not_unpacked(tmp_path):
    import zlib

    whole = meta(tmp_path, packed=False, synsets=trees_large.synsets())
    body = struct.pack("<2I", 14, 1 << 31) + whole[136:]
    packed = zlib.compress(body + bytes(1 << 20))
    with pytest.raises(DataError, match=r"^f: damaged or truncated \(a struct array of 2147483648 bytes\)"):
        read_structs(whole[:128] + struct.pack("<2I", 15, len(packed)) + packed, "f", "synsets", FIELDS)
