"""Domains whose original layout is a folder of image files per class, split 80/20 by the core."""

from __future__ import annotations

from pathlib import Path

from udbench import Source
from udbench_domains.readers import common


def open_plankton(root: Path) -> Source:
    """Read the training part of the Data Science Bowl 2015, `train/<class>/<id>.jpg`; the unlabelled images of its
    `test/` are not read. `<class>/*` and `train|test/<class>/*` are read too."""
    return common.picture_folders("plankton", root, ("train",), common.class_list("plankton"))


def open_caltech101(root: Path) -> Source:
    """Read `101_ObjectCategories/<class>/image_NNNN.jpg` with the background class, or class folders."""
    tops = ("101_ObjectCategories", "caltech101/101_ObjectCategories", "caltech-101/101_ObjectCategories")
    return common.picture_folders("caltech101", root, tops, common.class_list("caltech101"))


def open_sketches(root: Path) -> Source:
    """Read `png/<class>/<id>.png`, or class folders. `png/filelist.txt` is not needed: the 250 classes are known."""
    return common.picture_folders("sketches", root, ("png",), common.class_list("sketches"))


def open_caltech256(root: Path) -> Source:
    """`256_ObjectCategories/<NNN.name>/NNN_NNNN.jpg`, in a folder `caltech256` or not, or class folders of those names.

    Class NNN has label NNN - 1. Two leftovers in the makers' archive are skipped: a
    file `198.spider/RENAME2`, and a folder `056.dog/greg`.
    """
    tops = ("256_ObjectCategories", "caltech256/256_ObjectCategories")
    return common.picture_folders("caltech256", root, tops, common.class_list("caltech256"))
