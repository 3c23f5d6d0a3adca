"""VGG-Face: faces of 2,622 people, in a folder or a tar for each person, or in one tar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from udbench import DataError, FolderWalk, Source, is_image
from udbench_domains.readers import common
from udbench_domains.readers.columns import Columns, InFolders, Large, classes, divided, first_twice, joined
from udbench_domains.readers.tars import members

PERSONS = 2_622
ARCHIVE = "vgg_face_dataset"
LISTS = "files"


def open_folder(root: Path) -> Source:
    """Read `<person>/*.jpg` in the root or in `vgg_face_dataset/`, `train|test/<person>/*`, a tar for each person, or
    one tar with `<person>/*.jpg`.

    Images are named `<person>/<file>`, and by their path if they are split. The persons are those with images, in the
    order of their names, or those of the official lists `files/<person>.txt` if these exist.
    """
    known = _listed(root)
    if common.subfolders(root / "train") and common.subfolders(root / "test"):
        return divided("vggface", root, known, PERSONS)
    found = {top: persons for top in (root / ARCHIVE, root) if (persons := _persons(top))}
    if len(found) > 1:
        raise DataError(
            f"vggface: {root} holds people's folders, and {ARCHIVE}/ does too; move them into one of the two"
        )
    for top, folders in found.items():
        return _from_folders(root, top, folders, known)
    if tars := sorted(root.glob("*.tar")):
        return _from_tars(root, tars, known)
    raise common.no_layout(
        "vggface",
        root,
        "<person>/*.jpg",
        f"{ARCHIVE}/<person>/*.jpg",
        "<person>.tar",
        "one tar of them all",
        "train/<person>/* with test/<person>/*",
    )


def _persons(top: Path) -> list[str]:
    return [name for name in common.subfolders(top) if common.pictures(top / name)]


def _listed(root: Path) -> Sequence[str] | None:
    for top in (root / LISTS, root / ARCHIVE / LISTS):
        if top.is_dir() and (names := sorted(path.stem for path in top.glob("*.txt"))):
            return classes("vggface", top, names, None, PERSONS)
    return None


def _from_folders(root: Path, top: Path, folders: Sequence[str], known: Sequence[str] | None) -> Large:
    names, columns = classes("vggface", root, folders, known, PERSONS), Columns("vggface")
    walk = FolderWalk()
    for person, label in zip(folders, common.labels("vggface", root, folders, names).tolist(), strict=True):
        for file in common.pictures(top / person, walk):
            columns.add(f"{person}/{file}", label)
    name = columns.name
    return joined(names, [(name, columns.numbers("label"), "", InFolders(root=top, path=name))], walk)


def _from_tars(root: Path, tars: Sequence[Path], known: Sequence[str] | None) -> Large:
    columns, position = Columns("vggface"), dict[str, int]()
    for t, path in enumerate(tars):
        folder = ""
        for member in members("vggface", path):
            if not is_image(member.name):
                continue
            above, _, file = member.name.rpartition("/")
            _check_above(path, above, folder, alone=len(tars) == 1)
            folder = above
            person = above.rpartition("/")[2] if above and len(tars) == 1 else path.stem
            label = position.setdefault(person, len(position))
            columns.add(f"{person}/{file}", label, tar=t, offset=member.offset, size=member.size)
    if not len(columns):
        raise DataError(f"vggface: {root} has {tars[0].name}, but not one image in a tar; get them again")
    name = columns.name
    if twice := first_twice(name):
        raise DataError(f"vggface: {root}: the image {twice.decode(errors='replace')!r} is there twice; take one out")
    names = classes("vggface", root, sorted(position), known, PERSONS)
    labels = common.labels("vggface", root, list(position), names)[columns.numbers("label")]
    return joined(names, [(name, labels, "", columns.in_tars(tars))])


def _check_above(path: Path, above: str, before: str, *, alone: bool) -> None:
    """Check that a tar beside others is of one person, and that it is not split into train and test."""
    if {"train", "test"} & set(above.split("/")):
        raise DataError(f"vggface: {path} is split into train and test; unpack it")
    if not alone and before and above != before:
        raise DataError(
            f"vggface: {path} has images in {before!r} and in {above!r}; a tar beside others should hold one person, "
            "and be named after that person"
        )
