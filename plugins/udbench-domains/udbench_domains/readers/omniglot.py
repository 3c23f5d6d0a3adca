"""Omniglot: handwritten characters of fifty alphabets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from udbench import FolderWalk, Source
from udbench_domains.readers import common

PARTS = ("images_background", "images_evaluation")
HOMES = ("", "omniglot-py", "python")


def open_folder(root: Path) -> Source:
    """Read `images_background/<alphabet>/<character>/*.png` and `images_evaluation/…`, pooled; a class is
    `<alphabet>/<character>`.

    Also in a folder `omniglot-py` (torchvision) or `python` (the authors' repository). The character's
    number that the authors put before a file's name (`0709_01.png`) is not part of an image's name in the index, so
    that copies without it get the same split. In `train|test/<class>/*` a class is two folders, or one folder
    `<alphabet>_<character>`.
    """
    for home in (root / name for name in HOMES):
        tops = [home / part for part in PARTS if common.subfolders(home / part)]
        if tops:
            walk = FolderWalk()
            return common.files("omniglot", root, _rows(root, tops, walk), common.class_list("omniglot"), walk)
    source = common.class_folders("omniglot", root, known=common.class_list("omniglot"), class_of=_class_of)
    if source is None:
        raise common.no_layout(
            "omniglot",
            root,
            "images_background/<alphabet>/<character>/*.png with images_evaluation/…",
            "train/<alphabet>/<character>/* with test/…",
        )
    return source


def _rows(root: Path, tops: Sequence[Path], walk: FolderWalk) -> list[common.Row]:
    return [
        common.Row(
            name=f"{alphabet}/{character}/{re.sub(r'^[0-9]+_', '', file)}",
            path=(top.relative_to(root) / alphabet / character / file).as_posix(),
            label=f"{alphabet}/{character}",
        )
        for top in tops
        for alphabet in common.subfolders(top, walk)
        for character in common.subfolders(top / alphabet, walk)
        for file in common.pictures(top / alphabet / character, walk)
    ]


def _class_of(folders: Sequence[str]) -> str:
    if len(folders) == 1:
        return re.sub(r"[_.-](character[0-9]+)$", r"/\1", folders[0])
    return "/".join(folders)
