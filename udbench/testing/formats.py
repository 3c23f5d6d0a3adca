"""Writers of the formats that image sets come in, for fixtures: small files, the same bytes for the same content.

`write_…` makes the folders that lead to its path, and returns it; `idx`, `pickled`, `encoded` and `coco` give bytes.
They write what they are told, so that a test may also have what is wrong: labels out of range, names that point
outside, sizes that do not fit.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Zip files cannot state an earlier time.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_picture(path: Path, value: int = 0, size: tuple[int, int] = (5, 4), mode: str = "L") -> Path:
    """A picture of one value in every pixel and channel, in the format of the path's suffix (.png, .jpg, .ppm …).

    `size` is width and height. Also JPEG keeps a single grey value as it is, so the value tells which picture it is.
    """
    return write_bytes(path, encoded(np.full((size[1], size[0]), value, dtype=np.uint8), path.suffix, mode))


def encoded(pixels: NDArray[np.uint8], form: str = ".png", mode: str | None = None, **options: Any) -> bytes:
    """A picture file's bytes. `pixels`: (H, W), or (H, W, 3), uint8; `form` is a suffix; `options` are Pillow's."""
    image, memory = Image.fromarray(pixels), io.BytesIO()
    (image.convert(mode) if mode else image).save(memory, Image.registered_extensions()[form.lower()], **options)
    return memory.getvalue()


def idx(array: NDArray[np.uint8]) -> bytes:
    """An idx file's bytes: the array's number of dimensions and its sizes, big-endian, and then its uint8 values."""
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    """An idx file of this array, gzipped where the path ends in .gz."""
    data = idx(array)
    return write_bytes(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def pickled(value: object) -> bytes:
    """A pickle of protocol 2 as Python 2 wrote it: text as bytes, and arrays by the names numpy had then.

    Takes mappings, lists, str of latin-1 characters, int below 2^31, and arrays of uint8, in one another.
    """
    return b"\x80\x02" + _python2(value) + b"."


def write_pickle(path: Path, value: object) -> Path:
    """A file of that pickle."""
    return write_bytes(path, pickled(value))


def write_mat(path: Path, *, packed: bool = True, **variables: NDArray[Any]) -> Path:
    """A MATLAB 5 file of these variables, in this order, each of them compressed or (`packed=False`) not."""
    from scipy.io import savemat

    memory = io.BytesIO()
    savemat(memory, variables, do_compression=packed)
    # The header tells the time of writing.
    head = b"MATLAB 5.0 MAT-file, made for a test".ljust(116)
    return write_bytes(path, head + memory.getvalue()[len(head) :])


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, separator: str = ";", end: str = "\n"
) -> Path:
    """A table as text: a line of column names, and a line for each row. Nothing is quoted."""
    return write_lines(path, [separator.join(map(str, row)) for row in (columns, *rows)], end=end)


def write_annotations(path: Path, labels: Iterable[tuple[str, object]]) -> Path:
    """A list of images, as `path label` lines."""
    return write_lines(path, [f"{image} {label}" for image, label in labels])


def coco(images: Mapping[int, str], categories: Mapping[int, str], labels: Mapping[int, int]) -> bytes:
    """Annotations as COCO has them: {image's number: file name}, {category's number: name}, {image: category}."""
    document = {
        "images": [{"id": number, "file_name": file, "height": 72, "width": 72} for number, file in images.items()],
        "categories": [{"id": number, "name": name} for number, name in categories.items()],
        "annotations": [
            {"id": place, "image_id": image, "category_id": category}
            for place, (image, category) in enumerate(labels.items(), 1)
        ],
    }
    return json.dumps(document).encode()


def write_lines(path: Path, lines: Iterable[str], *, end: str = "\n") -> Path:
    """A text file of these lines, each of them ended."""
    return write_bytes(path, "".join(line + end for line in lines).encode())


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar of these files in this order: {name: content}; gzipped where the path ends in .gz or .tgz.

    Names go in as they are, those that point outside too.
    """
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    data = memory.getvalue()
    return write_bytes(path, gzip.compress(data, mtime=0) if path.suffix in (".gz", ".tgz") else data)


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """A zip of these files in this order: {name: content}. Names go in as they are, those that point outside too."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            packed.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return write_bytes(path, memory.getvalue())


def write_shard(path: Path, samples: Iterable[tuple[str, bytes, int]], *, form: str = "jpg") -> Path:
    """A webdataset shard: a tar with `KEY.jpg` and `KEY.cls` for each (key, image file's bytes, label)."""
    files: dict[str, bytes] = {}
    for key, image, label in samples:
        files |= {f"{key}.{form}": image, f"{key}.cls": str(label).encode()}
    return write_tar(path, files)


def write_bytes(path: Path, data: bytes) -> Path:
    """A file of these bytes, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _python2(value: object) -> bytes:
    match value:
        case str():
            text = value.encode("latin1")
            return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text
        case int():
            if 0 <= value < 1 << 16:
                return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
            return b"J" + struct.pack("<i", value)
        case np.ndarray():
            return _python2_array(value)
        case Mapping():
            return b"}(" + b"".join(_python2(part) for pair in value.items() for part in pair) + b"u"
        case Sequence():
            return b"](" + b"".join(map(_python2, value)) + b"e"
        case _:
            raise TypeError(f"a {type(value).__name__} has no place in these pickles")


def _python2_array(array: NDArray[Any]) -> bytes:
    assert array.dtype == np.uint8
    assert 1 <= array.ndim <= 3, "only tuples of up to three have an opcode of their own"
    shape = b"".join(_python2(n) for n in array.shape) + {1: b"\x85", 2: b"\x86", 3: b"\x87"}[array.ndim]
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = b"T" + struct.pack("<i", array.size) + array.tobytes()
    return made + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"
