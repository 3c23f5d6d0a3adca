"""Daimler's pedestrians: five sets of grey crops with and without a pedestrian."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from udbench import DataError, FolderWalk, Source
from udbench_domains.readers import common

CLASSES = ("non-ped", "ped")
SETS = {"1": "train", "2": "train", "3": "train", "T1": "test", "T2": "test"}


def open_folder(root: Path) -> Source:
    """Read `{1,2,3,T1,T2}/{ped,non-ped}_examples/*.pgm`, sets 1 to 3 for training, T1 and T2 for testing; or
    `train|test/<class>/*` with classes named `ped` and `non-ped`, `_examples` after it or not.

    The original archive may have its sets in a folder `DC-ped-dataset_base`.
    """
    for home in (root, root / "DC-ped-dataset_base"):
        if any(common.subfolders(home / name) for name in SETS):
            return _original(root, home)
    source = common.class_folders("daimler", root, known=CLASSES, class_of=_class_of)
    if source is None:
        raise common.no_layout(
            "daimler", root, "{1,2,3,T1,T2}/{ped,non-ped}_examples/*.pgm", "train/<class>/* with test/<class>/*"
        )
    return source


def _original(root: Path, home: Path) -> Source:
    rows: list[common.Row] = []
    walk = FolderWalk()
    present = [name for name in SETS if common.subfolders(home / name)]
    for split, sets in (("train", "1, 2 and 3"), ("test", "T1 and T2")):
        if split not in {SETS[name] for name in present}:
            raise DataError(f"daimler: {home} has none of the {split} sets {sets}; unpack the whole archive")
    for name in present:
        for label in CLASSES:
            folder = home / name / f"{label}_examples"
            if not folder.is_dir():
                raise DataError(f"daimler: {folder} is missing; unpack the archive again")
            below = folder.relative_to(root)
            rows.extend(
                common.Row(f"{name}/{label}_examples/{file}", (below / file).as_posix(), label, SETS[name])
                for file in common.pictures(folder, walk)
            )
    return common.files("daimler", root, rows, CLASSES, walk)


def _class_of(folders: Sequence[str]) -> str:
    return folders[0].removesuffix("_examples")
