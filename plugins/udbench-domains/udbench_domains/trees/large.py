"""Tiny trees of synthetic images in the original layouts of the three large domains: the examples of these domains.

Every image's value identifies it. Each function writes into `root` and returns it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from udbench.testing import encoded, write_annotations, write_bytes, write_lines, write_mat, write_tar
from udbench_domains.readers.imagenet import DEVKIT, META, TRAIN_TAR, TRUTH, VAL_TAR
from udbench_domains.readers.synth90k import LEXICON, TOPS

# The number of a class in the devkit is not its place among the sorted names.
WNIDS = {"n01440764": 449, "n02119789": 1, "n15075141": 1000}
PERSONS = ("A.J._Buckley", "Aamir_Khan", "Zulay_Henao")
WORDS = ("lube", "Slinking", "it's", "CAT")


def imagenet(root: Path, *, train: int = 2, val: int = 2, devkit: bool = True) -> Path:
    """The official tars, with so many images of each class, and the devkit.

    Image i of class c (0 to 2) has value 20c + i in training and 100 + 20c + i in validation, where images are
    numbered class by class backwards.
    """
    inner = root / "inner.tar"
    classes: dict[str, bytes] = {}
    for c, wnid in enumerate(WNIDS):
        images = {f"{wnid}_{10 * i + 26}.JPEG": photograph(20 * c + i) for i in range(train)}
        classes[f"{wnid}.tar"] = write_tar(inner, images).read_bytes()
    inner.unlink()
    write_tar(root / TRAIN_TAR, classes)
    order = [(c, i) for c in reversed(range(len(WNIDS))) for i in range(val)]
    images = {f"ILSVRC2012_val_{n:08d}.JPEG": photograph(100 + 20 * c + i) for n, (c, i) in enumerate(order, 1)}
    write_tar(root / VAL_TAR, images)
    if devkit:
        truth = "".join(f"{list(WNIDS.values())[c]}\n" for c, _ in order)
        meta = write_mat(root / "meta.mat", synsets=synsets())
        write_tar(
            root / f"{DEVKIT}.tar.gz",
            {
                f"{DEVKIT}/readme.txt": b"made",
                f"{DEVKIT}/{META}": meta.read_bytes(),
                f"{DEVKIT}/{TRUTH}": truth.encode(),
            },
        )
        meta.unlink()
    return root


def synsets() -> np.ndarray:
    """The struct array of the devkit: the classes, and a group of classes that is none itself."""
    fields = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height")
    table = np.empty((len(WNIDS) + 1, 1), dtype=[(name, object) for name in fields])
    nothing = np.zeros((1, 0))
    for row, (wnid, number) in enumerate(WNIDS.items()):
        table[row, 0] = (number, wnid, f"a {wnid}", "made for a test", 0, nothing, 0)
    table[-1, 0] = (1001, "n00001740", "entity", "a group", len(WNIDS), np.array([list(WNIDS.values())]), 1)
    return table


def vggface(root: Path, *, n: int = 5, lists: bool = True, top: str = "vgg_face_dataset") -> Path:
    """A folder of n images for each person, and the official lists; image i (from 1) of person p has value 40p + i."""
    for p, person in enumerate(PERSONS):
        for i in range(1, n + 1):
            write_bytes(root / top / person / f"{i:08d}.jpg", photograph(40 * p + i))
        if lists:
            rows = [f"{i:08d} http://example.com/{i}.jpg 1.00 2.00 9.00 8.00 1.00 3.00 1" for i in range(1, n + 1)]
            write_lines(root / top / "files" / f"{person}.txt", rows)
    return root


def synth90k(root: Path, *, train: int = 3, val: int = 1, test: int = 2, top: str = TOPS[0]) -> Path:
    """So many images of each word, with the three lists and the lexicon; the n-th image of all has value 5n."""
    splits = [split for split, number in (("train", train), ("val", val), ("test", test)) for _ in range(number)]
    lines: dict[str, list[tuple[str, int]]] = {"train": [], "val": [], "test": []}
    rounds = [(split, label, word) for split in splits for label, word in enumerate(WORDS)]
    for n, (split, label, word) in enumerate(rounds):
        path = f"{1 + n // 8}/{1 + n // 4 % 2}/{1 + n % 4}_{word}_{label}.jpg"
        write_bytes(root / top / path, photograph(5 * n, (8 + 6 * len(word), 31)))
        lines[split].append((f"./{path}", label))
    for split, own in lines.items():
        write_annotations(root / top / f"annotation_{split}.txt", own)
    write_lines(root / top / "imlist.txt", [path for own in lines.values() for path, _ in own])
    write_lines(root / top / LEXICON, WORDS)
    return root


def photograph(value: int, size: tuple[int, int] = (12, 10)) -> bytes:
    """A colour JPEG of one grey value, which it keeps. `size` is width and height."""
    return encoded(np.full((size[1], size[0], 3), value, dtype=np.uint8), ".jpg")
