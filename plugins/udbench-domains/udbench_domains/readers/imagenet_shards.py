"""ImageNet as webdataset shards: numbered tars with `KEY.jpg` and `KEY.cls`, the class's number as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

from udbench import BadData
from udbench_domains.readers.columns import Columns, Handles, Part, first_twice
from udbench_domains.readers.tars import Member, is_image, members

_NUMBERED = re.compile(r"(.*?)([0-9]+)((?:-of-([0-9]+))?\.tar)")
_LONGEST_CLS = 32


def shards(root: Path, word: str, split: str, classes: Sequence[str], but: Collection[str]) -> Part | None:
    """The images of the tars in `root` that have `word` in their name, or None where there are none.

    BadData: numbers that are missing, two sets of shards, an image without its class or a class without its
    image, a class out of range.
    """
    tars = [path for path in sorted(root.glob("*.tar")) if word in path.name.lower() and path.name not in but]
    if not tars:
        return None
    if unclear := [path.name for path in tars if "train" in path.name.lower() and "val" in path.name.lower()]:
        raise BadData(
            f"imagenet: {root}: {unclear[0]} is named both train and val; rename it, and the others of its set"
        )
    _check_numbers(root, tars)
    columns, handles = Columns("imagenet"), Handles()
    for t, path in enumerate(tars):
        images: dict[str, Member] = {}
        numbers: dict[str, int] = {}
        for member in members("imagenet", path):
            above, _, file = member.name.rpartition("/")
            key = f"{above}/{file.partition('.')[0]}".removeprefix("/")
            if file.endswith(".cls"):
                numbers[key] = _class(
                    path, key, handles.read(path, member.offset, min(member.size, _LONGEST_CLS + 1)), classes
                )
            elif is_image(file):
                images[key] = member
            if key in images and key in numbers:
                image = images.pop(key)
                columns.add(f"{word}/{key}", numbers.pop(key), tar=t, offset=image.offset, size=image.size)
        for lone, there, lacking in ((images, "an image", ".cls"), (numbers, "a .cls", "image")):
            if lone:
                raise BadData(f"imagenet: {path}: {min(lone)!r} has {there} but no {lacking}; get the shard again")
    handles.close()
    if not len(columns):
        raise BadData(f"imagenet: {tars[0]} has not one image in it; get it again")
    name = columns.name
    if twice := first_twice(name):
        raise BadData(f"imagenet: {root}: {twice.decode(errors='replace')!r} is in the shards twice; remove the copy")
    return name, columns.numbers("label"), split, columns.in_tars(tars)


def _class(path: Path, key: str, text: bytes, classes: Sequence[str]) -> int:
    digits = text.strip()
    if not digits.isdigit() or len(text) > _LONGEST_CLS or int(digits) >= len(classes):
        raise BadData(
            f"imagenet: {path}: {key}.cls says {text.decode(errors='replace')!r}, and the classes are numbered 0 to "
            f"{len(classes) - 1}; get shards of ImageNet's 1,000 classes"
        )
    return int(digits)


def _check_numbers(root: Path, tars: Sequence[Path]) -> None:
    matches = [(path.name, _NUMBERED.fullmatch(path.name)) for path in tars]
    if len(tars) == 1 and matches[0][1] is None:
        return
    if odd := [name for name, match in matches if match is None]:
        raise BadData(f"imagenet: {root}: {odd[0]} has no number as the other shards have; take it out")
    found = [match for _, match in matches if match]
    # Shards of one set have one beginning and one end.
    kinds = {(match[1], match[3]): match.string for match in found}
    if len(kinds) > 1:
        raise BadData(f"imagenet: {root} holds shards of several sets: {' and '.join(kinds.values())}; keep one set")
    present = {int(match[2]): match.string for match in found}
    if len(present) < len(found):
        raise BadData(f"imagenet: {root} holds two shards of one number; keep one")
    total = found[0][4]
    first = min(1, min(present)) if total is None else 0
    last = max(present) if total is None else max(int(total) - 1, *present)
    lacking = last - first + 1 - len(present)
    if lacking:
        gaps = islice((n for n in range(first, last + 1) if n not in present), 5)
        width = len(found[0][2])
        names = ", ".join(f"{found[0][1]}{n:0{width}d}{found[0][3]}" for n in gaps)
        more = f" and {lacking - 5:,} more" if lacking > 5 else ""
        many = "a shard" if lacking == 1 else f"{lacking:,} shards"
        raise BadData(f"imagenet: {root} lacks {many}: {names}{more}; get what is missing")
