"""Animals with Attributes and the two Caltech sets: photographs in class folders; and class folders of any domain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from udbench.testing import write_bytes, write_lines, write_picture


def class_folders(
    root: Path,
    classes: Sequence[str],
    splits: Sequence[str] = ("train", "test"),
    *,
    n: int = 2,
    name: str = "{i}.png",
    size: tuple[int, int] = (24, 18),
    mode: str = "L",
) -> Path:
    """`<split>/<class>/<name>` for i from 0; a split of "" puts the classes into the folder itself.

    Image i of the class at place c has the value 10c + i.
    """
    for split in splits:
        for c, folder in enumerate(classes):
            for i in range(n):
                write_picture(root / split / folder / name.format(i=i), (10 * c + i) % 256, size, mode)
    return root


def awa(
    root: Path,
    classes: Sequence[str] = ("antelope", "grizzly+bear", "zebra"),
    *,
    edition: int = 2,
    n: int = 5,
    top: str | None = None,
) -> Path:
    """`<top>/<class>/<class>_10001.jpg` … of the second edition, or `<class>_0001.jpg` … of the first.

    `top` is the archive's own place if nothing else is said. Values are those that class_folders gives.
    """
    top = f"Animals_with_Attributes{'2' if edition == 2 else ''}/JPEGImages" if top is None else top
    first = 10_001 if edition == 2 else 1
    for c, name in enumerate(classes):
        for i in range(n):
            write_picture(root / top / name / f"{name}_{first + i:04d}.jpg", 10 * c + i, (24, 18), "RGB")
    if top.endswith("JPEGImages"):
        write_lines((root / top).parent / "classes.txt", [f"{c}\t{name}" for c, name in enumerate(classes, start=1)])
    return root


def caltech256(root: Path, *, n: int = 5, top: str = "256_ObjectCategories") -> Path:
    """Three classes, with the leftovers of the makers' archive and a picture in one of them.

    Image i (from 1) of class NNN has the value (NNN + i) % 256.
    """
    for name in ("056.dog", "198.spider", "257.clutter"):
        number = int(name[:3])
        for i in range(1, n + 1):
            write_picture(root / top / name / f"{number:03d}_{i:04d}.jpg", (number + i) % 256, (24, 18), "RGB")
    write_bytes(root / top / "198.spider" / "RENAME2", b"#!/bin/sh\n")
    write_picture(root / top / "056.dog" / "greg" / "vision309" / "056_0003.jpg", 1)
    return root


def caltech101(
    root: Path,
    classes: Sequence[str] = ("BACKGROUND_Google", "Faces", "accordion"),
    *,
    n: int = 5,
    top: str = "101_ObjectCategories",
) -> Path:
    """`<top>/<class>/image_NNNN.jpg`, as class_folders writes them."""
    return class_folders(root, classes, [top], n=n, name="image_{i:04d}.jpg", mode="RGB")
