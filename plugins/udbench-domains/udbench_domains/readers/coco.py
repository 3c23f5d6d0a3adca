"""Read COCO annotations that give each image a class: images, categories, annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast

from udbench import DataError


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """The images of an annotation file, in its order.

    `image_ids`: their numbers. `files`: their paths, as in the file. `category_ids`: the category of each, or None if
    the file labels none of its images. `categories`: {number: name}, by increasing number.
    """

    path: Path
    image_ids: Sequence[int]
    files: Sequence[str]
    category_ids: Sequence[int] | None
    categories: Mapping[int, str]


def read_annotations(domain: str, path: Path) -> Annotated:
    """A file `{"images": [{"id", "file_name"}], "categories": [{"id", "name"}], "annotations": [{"image_id",
    "category_id"}]}`; what else it says is passed over.

    DataError, naming the file: not JSON, a list or field missing or of another kind, a number twice, an annotation of
    an image or category that is not there, an image with none or two while others have one.
    """
    what = f"{domain}: {path}"
    document = _document(what, path)
    images = _table(what, document, "images", "file_name")
    categories = _table(what, document, "categories", "name")
    return Annotated(
        path=path,
        image_ids=list(images),
        files=list(images.values()),
        category_ids=_labels(what, document, images, categories),
        categories=dict(sorted(categories.items())),
    )


def class_names(categories: Mapping[int, str]) -> tuple[str, ...]:
    """A unique name for each category, in order; a name that several share gets the category's number."""
    shared = {name for name, number in Counter(categories.values()).items() if number > 1}
    return tuple(f"{name} ({number})" if name in shared else name for number, name in categories.items())


def _document(what: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: not JSON ({error}); get it again") from None
    if not isinstance(document, dict):
        raise DataError(f"{what}: expected an object with images, categories and annotations; get it again")
    return document


def _table(what: str, document: Mapping[str, Any], key: str, text: str) -> dict[int, str]:
    """{id: text} of the entries of a list."""
    found: dict[int, str] = {}
    for place, entry in enumerate(_list(what, document, key)):
        number, name = _field(entry, "id"), _field(entry, text)
        if not _is_number(number) or not isinstance(name, str) or not name:
            raise DataError(f'{what}: {key}[{place}] needs a number "id" and a text "{text}"; get it again')
        if number in found:
            raise DataError(f'{what}: two of its {key} have the "id" {number}; get it again')
        found[number] = name
    if not found:
        raise DataError(f'{what}: its list "{key}" is empty; get it again')
    return found


def _labels(
    what: str, document: Mapping[str, Any], images: Mapping[int, str], categories: Mapping[int, str]
) -> list[int] | None:
    """The category of each image, or None if no image has one."""
    if not document.get("annotations"):
        return None
    found: dict[int, int] = {}
    for place, entry in enumerate(_list(what, document, "annotations")):
        image, category = _field(entry, "image_id"), _field(entry, "category_id")
        if not _is_number(image) or not _is_number(category):
            raise DataError(f'{what}: annotations[{place}] needs numbers "image_id" and "category_id"; get it again')
        for number, known, kind in ((image, images, "images"), (category, categories, "categories")):
            if number not in known:
                raise DataError(
                    f"{what}: annotations[{place}] is of {number}, which is none of its {kind}; get it again"
                )
        if image in found:
            raise DataError(f"{what}: the image {images[image]!r} has two annotations; get it again")
        found[image] = category
    if lacking := [name for number, name in images.items() if number not in found]:
        raise DataError(
            f"{what}: {len(lacking)} of its images have no annotation, such as {lacking[0]!r}; get it again"
        )
    return [found[image] for image in images]


def _list(what: str, document: Mapping[str, Any], key: str) -> list[Any]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise DataError(f'{what}: has no list "{key}"; get it again')
    return entries


def _field(entry: object, key: str) -> object:
    return cast("Mapping[str, object]", entry).get(key) if isinstance(entry, dict) else None


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
