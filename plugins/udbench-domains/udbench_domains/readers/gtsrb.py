"""The German Traffic Sign Recognition Benchmark: whole images, never the region of interest."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from udbench import DataError, Source
from udbench_domains.readers import common

CLASSES = tuple(f"{number:05d}" for number in range(43))
TEST_CSV = "GT-final_test.csv"


def open_folder(root: Path) -> Source:
    """Open one of three layouts; `group` is the track, since the frames of a track are near-duplicates.

    - The makers': `GTSRB/Final_Training/Images/000NN/*.ppm`, each folder with its `GT-000NN.csv`, and
      `GTSRB/Final_Test/Images/*.ppm` with `GT-final_test.csv`.
    - torchvision's: `GTSRB/Training/000NN/*.ppm`, with the same test folder, and `GT-final_test.csv` beside
      `GTSRB`; all of it possibly in a folder `gtsrb`.
    - `train|test/<class>/*`, where class 7 may be named `7` or `00007`. Groups are known there when every
      training file has its original name, `<track>_<frame>.ppm`.

    The names in the index are `train/000NN/<file>` and `test/<file>` for the first two alike.
    """
    for base in (root, root / "gtsrb"):
        for home in (base / "GTSRB", base):
            listed = home / "Final_Training" / "Images"
            if common.subfolders(listed):
                return _original(root, base, home, listed, listed=True)
            if common.subfolders(home / "Training"):
                return _original(root, base, home, home / "Training", listed=False)
    source = common.class_folders("gtsrb", root, known=CLASSES, class_of=lambda folders: _class_of(folders[0]))
    if source is None:
        raise common.no_layout(
            "gtsrb",
            root,
            "GTSRB/Final_Training/Images/<000NN>/*.ppm with GTSRB/Final_Test/Images/*.ppm",
            "GTSRB/Training/<000NN>/*.ppm with the same test folder",
            "train/<class>/* with test/<class>/*",
        )
    return _grouped(source)


def _original(root: Path, base: Path, home: Path, training: Path, *, listed: bool) -> Source:
    rows: list[common.Row] = []
    for name in common.subfolders(training):
        folder = training / name
        label = _class_of(name)
        found = common.pictures(folder)
        if listed:
            _check_training(folder, found, label)
        below = folder.relative_to(root)
        for file in found:
            track = _track(file)
            if track is None:
                raise DataError(f"gtsrb: {folder / file} is not named <track>_<frame>.ppm; give it its original name")
            rows.append(
                common.Row(f"train/{label}/{file}", (below / file).as_posix(), label, "train", f"{label}/{track}")
            )
    rows.extend(_test_rows(root, base, home))
    return common.files("gtsrb", root, rows, CLASSES)


def _check_training(folder: Path, found: Sequence[str], label: str) -> None:
    table = folder / f"GT-{folder.name}.csv"
    stated = _read_csv(table)
    _check_same_files(table, folder, stated, found)
    for file, given in stated.items():
        if given != label:
            raise DataError(f"gtsrb: {table} says that {file!r} is of class {int(given)}, but it lies in {folder}")


def _test_rows(root: Path, base: Path, home: Path) -> list[common.Row]:
    folder = home / "Final_Test" / "Images"
    if not folder.is_dir():
        raise DataError(
            f"gtsrb: the test images are missing: there is no {folder}; unpack GTSRB_Final_Test_Images.zip there"
        )
    places = [home / "Final_Test" / TEST_CSV, folder / TEST_CSV, home / TEST_CSV, base / TEST_CSV]
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        raise DataError(
            f"gtsrb: the labels of the test images are missing: there is no {TEST_CSV} in {places[0].parent} or "
            f"{base}; it comes in GTSRB_Final_Test_GT.zip (the GT-final_test.test.csv beside the images has no labels)"
        )
    stated = _read_csv(table)
    _check_same_files(table, folder, stated, common.pictures(folder))
    below = folder.relative_to(root)
    return [
        common.Row(f"test/{file}", (below / file).as_posix(), label, "test", f"test/{file}")
        for file, label in stated.items()
    ]


def _read_csv(table: Path) -> dict[str, str]:
    """{file name: class} of a `;`-separated table with columns Filename and ClassId."""
    if not table.is_file():
        raise DataError(f"gtsrb: {table} is missing; unpack the archive again")
    stated: dict[str, str] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, delimiter=";", skipinitialspace=True)
            columns = reader.fieldnames or []
            if not {"Filename", "ClassId"} <= set(columns):
                raise DataError(
                    f"gtsrb: {table} needs the ;-separated columns Filename and ClassId; "
                    f"its first line has {', '.join(repr(c) for c in columns[:9]) or 'nothing'}"
                )
            for row in reader:
                where = f"gtsrb: {table}, line {reader.line_num}"
                file, number = row["Filename"], row["ClassId"]
                if not file or not re.fullmatch(r"[0-9]{1,5}", number or "") or int(number) >= len(CLASSES):
                    raise DataError(f"{where}: needs a file name and a class from 0 to 42, has {file!r} and {number!r}")
                if file in stated:
                    raise DataError(f"{where}: names {file!r} a second time")
                stated[file] = CLASSES[int(number)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"gtsrb: {table} is not a table of text: {error}; unpack the archive again") from error
    return stated


def _check_same_files(table: Path, folder: Path, stated: dict[str, str], found: Sequence[str]) -> None:
    missing, unnamed = sorted(set(stated) - set(found)), sorted(set(found) - set(stated))
    if missing:
        raise DataError(
            f"gtsrb: {table} names {missing[0]!r}, which is not in {folder} ({len(missing)} such); "
            "unpack the archive again"
        )
    if unnamed:
        raise DataError(
            f"gtsrb: {folder} holds {unnamed[0]!r}, which {table.name} does not name ({len(unnamed)} such); "
            "take out what does not belong there, or unpack the archive again"
        )


def _grouped(source: Source) -> Source:
    assert isinstance(source, common.Files)
    assert source.index.split is not None
    groups: list[str] = []
    for name, split in zip(source.index.name.tolist(), source.index.split.tolist(), strict=True):
        _, folder, *_, file = name.split("/")
        track = _track(file)
        if split == "train" and track is None:
            return source
        groups.append(f"{_class_of(folder)}/{track}" if split == "train" else name)
    return common.grouped(source, groups)


def _class_of(folder: str) -> str:
    return f"{int(folder):05d}" if re.fullmatch(r"[0-9]{1,5}", folder) else folder


def _track(file: str) -> str | None:
    """The track in a name `<track>_<frame>.ppm`; some copies put the class before it."""
    match = re.fullmatch(r"(?:[0-9]+_)?([0-9]+)_[0-9]+", Path(file).stem)
    return match[1] if match else None
