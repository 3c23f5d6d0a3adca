"""Domains whose original layout is a folder of image files per class, split 80/20 by the core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from udbench import Source
from udbench_domains.readers import common


def open_plankton(root: Path) -> Source:
    """The training part of the Data Science Bowl 2015, `train/<class>/<id>.jpg`, beside which the unlabelled
    pictures of its `test/` may lie: they are not read. `<class>/*` and `train|test/<class>/*` are read too."""
    return _pictures("plankton", root, ("train",), known=common.class_list("plankton"))


def open_caltech101(root: Path) -> Source:
    """`101_ObjectCategories/<class>/image_NNNN.jpg` with the background class, or class folders."""
    tops = ("101_ObjectCategories", "caltech101/101_ObjectCategories", "caltech-101/101_ObjectCategories")
    return _pictures("caltech101", root, tops, known=common.class_list("caltech101"))


def open_sketches(root: Path) -> Source:
    """`png/<class>/<id>.png`, or class folders. `png/filelist.txt` is not needed: the 250 classes are known."""
    return _pictures("sketches", root, ("png",), known=common.class_list("sketches"))


def open_awa(root: Path) -> Source:
    """Class folders: `<class>/*` or `train|test/<class>/*`; labels by the sorted names of the folders."""
    return _pictures("awa", root, (), most=50)


def open_caltech256(root: Path) -> Source:
    """Class folders: `<class>/*` or `train|test/<class>/*`; labels by the sorted names of the folders."""
    return _pictures("caltech256", root, (), most=257)


def open_svhn(root: Path) -> Source:
    """Class folders `train|test/<class>/*` with the classes 0 to 9."""
    source = common.class_folders("svhn", root, known=[str(digit) for digit in range(10)])
    if source is None:
        raise common.no_layout("svhn", root, "train/<0…9>/* with test/<0…9>/*")
    return source


def _pictures(
    domain: str, root: Path, tops: Sequence[str], *, known: Sequence[str] | None = None, most: int = 0
) -> Source:
    for top in tops:
        # Plankton's own layout is a train/ alone: class folders in a test/ beside it make it the other one.
        divided = top == "train" and common.subfolders(root / "test")
        if common.subfolders(root / top) and not divided:
            return common.undivided(domain, root, root / top, known=known, most=most)
    if common.holds_classes(root, known):
        return common.undivided(domain, root, root, known=known, most=most)
    source = common.class_folders(domain, root, known=known)
    if source is None:
        looked_for = [f"{top}/<class>/*" for top in tops]
        raise common.no_layout(domain, root, *looked_for, "<class>/*", "train/<class>/* with test/<class>/*")
    return source if known else common.at_most(domain, root, source, most)
