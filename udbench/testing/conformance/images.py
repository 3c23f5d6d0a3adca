"""Checks of a domain: its facts, its images, its source."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from udbench.data.image import decode
from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import Domain, Index, Source
from udbench.plugin.registry import Item, Registry
from udbench.testing.conformance.findings import Broken, said
from udbench.testing.trees import write_example

READ = 24


def facts(item: Item, everything: Registry, scratch: Path) -> None:
    """A domain's facts: what a board and a reader need, licence and citation included."""
    spec = _domain(item).spec
    for field in ("content", "licence", "citation", "version"):
        if not str(getattr(spec, field)).strip():
            raise Broken(
                f"DomainSpec.{field} says something",
                "it is empty",
                f"give {field}=…; for images of your own that may be 'own work', and your name and the year",
            )
    if spec.channels not in (1, 3):
        raise Broken("channels is 1 (grey) or 3", f"it is {spec.channels!r}", "set it to what the images have")
    if spec.num_classes < 2:
        raise Broken("there are at least 2 classes", f"num_classes = {spec.num_classes}", "count the class names")
    if min(spec.num_train, spec.num_test) < 0:
        raise Broken("counts of images are 0 or more", f"{spec.num_train}, {spec.num_test}", "0 says: not fixed")


def reading(item: Item, everything: Registry, scratch: Path) -> None:
    """A domain's images: listed in columns of one length, read as bytes or pixels, the same each time."""
    domain = _domain(item)
    root = root_of(domain, scratch)
    source, again = _opened(domain, root), _opened(domain, root)
    index, names = source.index, tuple(source.class_names)
    _check_index(index, names, domain)
    for column in ("name", "label", "split", "group"):
        first, second = getattr(index, column), getattr(again.index, column)
        if (first is None) != (second is None) or (first is not None and not np.array_equal(first, second)):
            raise Broken(
                f"opened again, it lists the same (Index.{column})",
                "it lists something else",
                "draw with a seed of your own, sort what a folder lists, and keep no state outside of the source",
            )
    for i in _some(len(index.name)):
        _check_image(source, again, i, domain)


def pickling(item: Item, everything: Registry, scratch: Path) -> None:
    """A source that went to another process reads the same image."""
    domain = _domain(item)
    source = _opened(domain, root_of(domain, scratch))
    try:
        there = pickle.loads(pickle.dumps(source))  # noqa: S301 (what this process itself has just made)
    except Exception as error:
        raise Broken(
            "pickle takes the source, as the processes that read images need",
            said(error),
            "keep paths and numbers in it, not open files, locks or lambdas; make its class at a module's top level",
        ) from None
    if not _same(_read(source, 0), _read(there, 0)):
        raise Broken(
            "the source reads the same image after pickling",
            "its first image is another one",
            "let nothing that a read depends on be left out by __getstate__",
        )


def root_of(domain: Domain, scratch: Path) -> Path:
    """A folder of this domain's images: its example, or for a domain that makes its images an empty one."""
    if domain.root is not None:
        return domain.root
    if domain.embedded:
        return scratch
    if domain.example is None:
        raise Broken(
            "it makes its images itself (embedded=True), or gives an example to read",
            "it does neither, so nothing of its reading can be tried",
            "give Domain(example=…): a function that writes a few synthetic images into a folder, in the layout "
            "that `open` reads (udbench.testing.write_class_folders writes class folders)",
        )
    try:
        return write_example(domain, scratch / "example")
    except UdbenchError:
        raise
    except Exception as error:
        raise Broken("its example can be written", said(error), "mend the function behind Domain(example=…)") from None


def _domain(item: Item) -> Domain:
    assert isinstance(item.value, Domain)
    return item.value


def _opened(domain: Domain, root: Path) -> Source:
    try:
        source = domain.open(root)
    except Exception as error:
        raise Broken(
            "open(root) gives a source for its own example, or without any folder where it is embedded",
            said(error),
            "let `open` and `example` agree on the layout",
        ) from None
    if not isinstance(source, Source):
        raise Broken(
            "open(root) returns a Source: an object with index, class_names and read(i)",
            f"it returns a {type(source).__name__} that lacks some of them",
            "see udbench.Source; udbench.ClassFolders is one for class folders",
        )
    return source


def _check_index(index: Any, names: tuple[str, ...], domain: Domain) -> None:
    spec = domain.spec
    if not isinstance(index, Index):
        raise Broken(
            "source.index is a udbench.Index", f"it is a {type(index).__name__}", "return Index(name=…, label=…)"
        )
    number = len(index.name)
    for column in ("label", "split", "group"):
        found = getattr(index, column)
        if found is not None and np.shape(found) != (number,):
            raise Broken(
                f"Index.{column} has one entry for each of {number} names",
                f"its shape is {np.shape(found)}",
                "make all columns from the same list of images",
            )
    if not number or len(np.unique(index.name)) < number:
        raise Broken("there are images, each of its own name", f"{number} names, some twice", "use relative paths")
    fits = len(names) == spec.num_classes if domain.embedded else 2 <= len(names) <= spec.num_classes
    if not fits or len(set(names)) < len(names):
        raise Broken(
            f"class_names are num_classes = {spec.num_classes} different names"
            + ("" if domain.embedded else ", of which an example may have fewer"),
            f"they are {len(names)}",
            "correct one of the two",
        )
    if index.label.dtype.kind not in "iu" or index.label.min() < 0 or index.label.max() >= len(names):
        raise Broken(
            f"labels are whole numbers from 0 to {len(names) - 1}",
            f"they are {index.label.dtype} from {index.label.min()} to {index.label.max()}",
            "let a label be the place of its class in class_names",
        )
    if index.split is None:
        return
    split = index.split.astype(str)
    if set(split.tolist()) != {"train", "test"}:
        raise Broken(
            'Index.split has "train" and "test", some of each, or is None',
            f"it has {', '.join(sorted(set(split.tolist())))[:80]}",
            "write these two words; None lets the core split 80/20",
        )
    counted = {name: int((split == name).sum()) for name in ("train", "test")}
    if domain.embedded and (spec.num_train, spec.num_test) not in {(0, 0), (counted["train"], counted["test"])}:
        raise Broken(
            f"it has num_train = {spec.num_train} and num_test = {spec.num_test} images",
            f"it lists {counted['train']} and {counted['test']}",
            "correct DomainSpec",
        )


def _some(number: int) -> list[int]:
    """Places spread over a list, first and last among them."""
    return sorted({round(i) for i in np.linspace(0, number - 1, min(number, READ))})


def _check_image(source: Source, again: Source, i: int, domain: Domain) -> None:
    name = str(source.index.name[i])
    image = _read(source, i)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise Broken(
                "read(i) gives an encoded file's bytes, or pixels (H, W) or (H, W, 3) of uint8",
                f"for '{name}': {image.dtype} of shape {image.shape}",
                "round and clip to 0 … 255, then .astype(np.uint8)",
            )
    elif not isinstance(image, bytes):
        raise Broken("read(i) gives bytes or pixels", f"for '{name}': {type(image).__name__}", "see udbench.Source")
    try:
        decode(image, domain.spec.channels)
    except Exception as error:
        raise Broken(
            "each image can be decoded", f"'{name}': {said(error)}", "mend what `read` or `example` gives"
        ) from None
    if not _same(image, _read(source, i)) or not _same(image, _read(again, i)):
        raise Broken(
            "an image is the same each time it is read",
            f"'{name}' differs",
            "draw it from its name or number alone, with a generator that is made anew for each image",
        )


def _read(source: Source, i: int) -> Any:
    try:
        return source.read(i)
    except Exception as error:
        raise Broken(f"image {i} ('{source.index.name[i]}') can be read", said(error), "mend `read`") from None


def _same(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, bytes) else isinstance(other, np.ndarray) and np.array_equal(one, other)
