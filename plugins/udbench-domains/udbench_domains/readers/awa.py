"""Animals with Attributes: fifty kinds of animals, in two editions with the same classes and different images."""

from __future__ import annotations

import re
from pathlib import Path

from udbench import DataError, Source
from udbench_domains.readers import common

TOPS = ("JPEGImages", "Animals_with_Attributes/JPEGImages", "Animals_with_Attributes2/JPEGImages")


def open_folder(root: Path) -> Source:
    """Read `JPEGImages/<class>/*.jpg`, in the archive's folder or not; or `<class>/*` or `train|test/<class>/*`.

    The first edition numbers its images with four digits (`antelope_0001.jpg`) and the second with five
    (`antelope_10001.jpg`). Either is read; both in one folder are refused.
    """
    tops = [top for top in TOPS if common.subfolders(root / top)]
    if len(tops) > 1:
        raise DataError(f"awa: {root} holds both {tops[0]} and {tops[1]}; keep one edition and take out the other")
    source = common.picture_folders("awa", root, TOPS, common.class_list("awa"))
    _check_edition(root, source)
    return source


def _check_edition(root: Path, source: Source) -> None:
    seen: dict[int, str] = {}
    for name in source.index.name.tolist():
        if number := re.search(r"_([0-9]{4,5})\.[A-Za-z]+$", name):
            seen.setdefault(len(number[1]), name)
    if len(seen) > 1:
        raise DataError(
            f"awa: {root} mixes the first edition ('{seen[4]}') and the second ('{seen[5]}'), whose images are "
            "others; keep one and take out the other"
        )
