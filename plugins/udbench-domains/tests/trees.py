"""Small trees in the domains' original layouts, with images whose content tells which one they are."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def picture(path: Path, value: int = 0, size: tuple[int, int] = (5, 4), mode: str = "L") -> Path:
    """An image file of one value, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)
    return path


def class_folders(root: Path, classes: Sequence[str], splits: Sequence[str] = ("train", "test"), n: int = 2) -> Path:
    """`<split>/<class>/<i>.png`; value 10 x class + i. A split of "" puts the classes into the folder itself."""
    for split in splits:
        for c, name in enumerate(classes):
            for i in range(n):
                picture(root / split / name / f"{i}.png", (10 * c + i) % 256)
    return root


# --- mnist -----------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist(root: Path, *, train: int = 12, test: int = 5, gz: bool = True, place: str = "MNIST/raw") -> Path:
    """Image i is of value i, with its label in the corner; label i % 10."""
    home = root / place
    home.mkdir(parents=True, exist_ok=True)
    for prefix, n in (("train", train), ("t10k", test)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, 28, 28)).copy()
        images[:, 0, 0] = labels
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            data = idx(array)
            (home / (name + ".gz" * gz)).write_bytes(gzip.compress(data) if gz else data)
    return root


# --- cifar10 ---------------------------------------------------------------------------------------------------------


def cifar_rows(batch: int, n: int) -> tuple[np.ndarray, list[int]]:
    """(n, 3072) uint8 and labels: image i of batch b has red 10b + i, green 100, blue its column."""
    rows = np.zeros((n, 3, 32, 32), dtype=np.uint8)
    rows[:, 0] = (10 * batch + np.arange(n))[:, None, None]
    rows[:, 1] = 100
    rows[:, 2] = np.arange(32)
    return rows.reshape(n, 3072), [(batch + i) % 10 for i in range(n)]


def cifar10(root: Path, *, n: int = 3, dump: Callable[[np.ndarray, list[int], str], bytes] | None = None) -> Path:
    """Pickled batches, as Python 2 wrote them unless `dump` writes them."""
    home = root / "cifar-10-batches-py"
    home.mkdir(parents=True, exist_ok=True)
    for b, name in enumerate(CIFAR_BATCHES):
        rows, labels = cifar_rows(b, n)
        (home / name).write_bytes((dump or python2_batch)(rows, labels, name))
    (home / "batches.meta").write_bytes(python2_meta(CIFAR_NAMES))
    return root


def cifar10_binary(root: Path, *, n: int = 3) -> Path:
    """The binary version: a byte of label and 3,072 of pixels for each image."""
    home = root / "cifar-10-batches-bin"
    home.mkdir(parents=True, exist_ok=True)
    for b, name in enumerate(CIFAR_BATCHES):
        rows, labels = cifar_rows(b, n)
        (home / f"{name}.bin").write_bytes(
            b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True))
        )
    return root


def python2_batch(rows: np.ndarray, labels: Sequence[int], title: str) -> bytes:
    """The opcodes of the published batches: protocol 2 of cPickle, numpy arrays as of old."""
    out = io.BytesIO()
    out.write(b"\x80\x02}q\x01(" + _text2("batch_label") + _text2(title) + _text2("labels") + b"](")
    for label in labels:
        out.write(_int2(label))
    out.write(b"e" + _text2("data") + b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08")
    out.write(b"K\x00\x85q\t" + _text2("b") + b"\x87Rq\n(K\x01" + _int2(rows.shape[0]) + _int2(rows.shape[1]) + b"\x86")
    out.write(b"cnumpy\ndtype\nq\x0b" + _text2("u1") + b"K\x00K\x01\x87Rq\x0c(K\x03" + _text2("|"))
    out.write(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", rows.size) + rows.tobytes())
    out.write(b"tb" + _text2("filenames") + b"](")
    for i in range(len(labels)):
        out.write(_text2(f"picture_s_{i:06d}.png"))
    out.write(b"eu.")
    return out.getvalue()


def python2_meta(names: Sequence[str]) -> bytes:
    """batches.meta with these class names."""
    listed = b"".join(_text2(name) for name in names)
    return b"\x80\x02}q\x01(" + _text2("label_names") + b"](" + listed + b"e" + _text2("num_vis") + b"M\x00\x0cu."


def _text2(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode("latin1")


def _int2(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


# --- daimler, omniglot -----------------------------------------------------------------------------------------------


def daimler(root: Path, *, n: int = 2, sets: Sequence[str] = ("1", "2", "3", "T1", "T2")) -> Path:
    """`<set>/{ped,non-ped}_examples/img_NNNNN.pgm` of 18x36; value 200 with a pedestrian, 50 without."""
    for name in sets:
        for label, value in (("ped", 200), ("non-ped", 50)):
            for i in range(n):
                picture(root / name / f"{label}_examples" / f"img_{i:05d}.pgm", value + i, (18, 36))
    return root


def omniglot(root: Path, *, prefix: bool = True, n: int = 3) -> Path:
    """Two alphabets of two characters, one in each part."""
    for part, alphabet in (("images_background", "Greek"), ("images_evaluation", "ULOG")):
        for c in (1, 2):
            for i in range(1, n + 1):
                name = f"{'0700_' * prefix}{i:02d}.png"
                picture(root / part / alphabet / f"character{c:02d}" / name, 10 * c + i, (105, 105))
    return root


# --- gtsrb -----------------------------------------------------------------------------------------------------------

GTSRB_HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def gtsrb(
    root: Path, *, classes: Sequence[int] = (0, 7, 42), tracks: int = 2, frames: int = 2, end: str = "\n"
) -> Path:
    """The makers' layout; a training image's value is its class, a test image's 100 + its class."""
    for c in classes:
        folder = root / "GTSRB" / "Final_Training" / "Images" / f"{c:05d}"
        names = _signs(folder, c, tracks, frames)
        (folder / f"GT-{c:05d}.csv").write_text(_table([(name, c) for name in names], end), newline="")
    test = root / "GTSRB" / "Final_Test"
    (test / "Images").mkdir(parents=True)
    (test / "GT-final_test.csv").write_text(_table(_test_signs(test / "Images", classes), end), newline="")
    return root


def gtsrb_torchvision(root: Path, *, classes: Sequence[int] = (0, 7, 42), tracks: int = 2, frames: int = 2) -> Path:
    """What torchvision leaves in its folder `gtsrb`."""
    for c in classes:
        _signs(root / "GTSRB" / "Training" / f"{c:05d}", c, tracks, frames)
    signs = _test_signs(root / "GTSRB" / "Final_Test" / "Images", classes)
    (root / "GT-final_test.csv").write_text(_table(signs, "\r\n"), newline="")
    return root


def _signs(folder: Path, c: int, tracks: int, frames: int) -> list[str]:
    names = [f"{t:05d}_{f:05d}.ppm" for t in range(tracks) for f in range(frames)]
    for name in names:
        picture(folder / name, c, (20, 18), "RGB")
    return names


def _test_signs(folder: Path, classes: Sequence[int]) -> list[tuple[str, int]]:
    # In falling order, so that a label cannot be right by the order of files.
    signs = [(f"{i:05d}.ppm", c) for i, c in enumerate(sorted(classes, reverse=True))]
    for name, c in signs:
        picture(folder / name, 100 + c, (20, 18), "RGB")
    return signs


def _table(signs: Sequence[tuple[str, int]], end: str) -> str:
    # The sizes and regions fit no file: a reader that cut by them would fail.
    return end.join([GTSRB_HEAD, *(f"{name};90;91;6;5;85;86;{c}" for name, c in signs), ""])


# --- awa, caltech256, svhn -------------------------------------------------------------------------------------------


def awa(
    root: Path, classes: Sequence[str] = ("antelope", "grizzly+bear", "zebra"), *, top: str = "JPEGImages", first: int
) -> Path:
    """Two images of each class, numbered from `first`: 1 (four digits) in the first edition, 10001 in the second."""
    for c, name in enumerate(classes):
        for i in range(2):
            picture(root / top / name / f"{name}_{first + i:04d}.jpg", 10 * c + i)
    (root / top).parent.joinpath("classes.txt").write_text("1\tantelope\n")
    return root


def caltech256(root: Path, *, top: str = "256_ObjectCategories") -> Path:
    """Three classes, with the leftovers of the makers' archive and a picture in one of them; value NNN - 1."""
    for name in ("056.dog", "198.spider", "257.clutter"):
        number = name[:3]
        for i in (1, 2):
            picture(root / top / name / f"{number}_{i:04d}.jpg", min(int(number) - 1, 255))
    (root / top / "198.spider" / "RENAME2").write_text("#!/bin/sh\n")
    picture(root / top / "056.dog" / "greg" / "vision309" / "056_0003.jpg", 1)
    return root


def svhn_arrays(n: int, first: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """X (32, 32, 3, n) and y (n, 1): image i has red i, green its row, blue its column; labels first … 10, 1 …"""
    pixels = np.zeros((32, 32, 3, n), dtype=np.uint8)
    pixels[:, :, 0] = np.arange(n)
    pixels[:, :, 1] = np.arange(32)[:, None, None]
    pixels[:, :, 2] = np.arange(32)[:, None]
    return pixels, ((first - 1 + np.arange(n)) % 10 + 1).astype(np.uint8)[:, None]


def svhn(root: Path, *, train: int = 12, test: int = 5) -> Path:
    """The two files; the test labels begin with 10, the digit 0."""
    for name, (pixels, labels) in {"train": svhn_arrays(train), "test": svhn_arrays(test, 10)}.items():
        mat(root / f"{name}_32x32.mat", X=pixels, y=labels)
    return root


def mat(path: Path, *, packed: bool = True, **variables: np.ndarray) -> Path:
    """A MATLAB 5 file of these variables, in this order."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=packed)
    return path
