"""Images that are drawn when they are read, each from its domain, version, class and number only."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, Index
from udbench_pocket.spec import GeneratedSpec, drawing

Pixels = NDArray[np.uint8]

DIGITS_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


def stream(*purpose: object) -> np.random.RandomState:
    """A random generator for one purpose. numpy guarantees RandomState's streams, so images stay the same."""
    text = "\x1f".join(map(str, purpose))
    return np.random.RandomState(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little"))


class Drawn:
    """The source of a generated domain. Names are <class>/<split>-<number>."""

    def __init__(self, spec: GeneratedSpec) -> None:
        self._spec = spec

    @property
    def class_names(self) -> Sequence[str]:
        return self._spec.classes

    @property
    def index(self) -> Index:
        return self._index

    @cached_property
    def _index(self) -> Index:
        spec = self._spec
        rows = [
            (f"{name}/{split}-{k:04d}", label, split)
            for split, number in (("train", spec.train), ("test", spec.test))
            for label, name in enumerate(spec.classes)
            for k in range(number)
        ]
        names, labels, splits = zip(*rows, strict=True)
        return Index(name=np.array(names), label=np.array(labels, dtype=np.int64), split=np.array(splits))

    def read(self, i: int) -> Pixels:
        spec, index = self._spec, self.index
        draw: Callable[[int, np.random.RandomState], Pixels] = drawing(spec.draw)
        return draw(int(index.label[i]), stream(spec.name, spec.version, str(index.name[i])))

    def __getstate__(self) -> dict[str, object]:
        return {"_spec": self._spec}


class Handwriting:
    """scikit-learn's digits: 1,797 real images of 8x8 pixels, values 0 to 16; a fixed draw of 50 per class is the test
    split."""

    class_names: Sequence[str] = tuple("0123456789")
    tests_of_each = 50

    @cached_property
    def _digits(self) -> tuple[Pixels, NDArray[np.int64]]:
        table = np.loadtxt(io.BytesIO(_digits_file()), delimiter=",", dtype=np.int64)
        images = table[:, :-1].reshape(-1, 8, 8)
        return (images * 255 / 16).round().astype(np.uint8), table[:, -1]

    @property
    def index(self) -> Index:
        return self._index

    @cached_property
    def _index(self) -> Index:
        labels = self._digits[1]
        order = stream("handwriting", "split").permutation(len(labels))
        split = np.full(len(labels), "train", dtype="<U5")
        for digit in range(len(self.class_names)):
            split[order[labels[order] == digit][: self.tests_of_each]] = "test"
        return Index(name=np.array([f"{i:04d}" for i in range(len(labels))]), label=labels, split=split)

    def read(self, i: int) -> Pixels:
        return self._digits[0][i]

    def __getstate__(self) -> dict[str, object]:
        return {}


def _digits_file() -> bytes:
    """Read the table of digits from scikit-learn's files, since importing scikit-learn takes long."""
    path = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    if path.exists():
        table = gzip.decompress(path.read_bytes())
        if hashlib.sha256(table).hexdigest() == DIGITS_SHA256:
            return table
    raise DataError(
        f"'handwriting': {path} is not the table of digits of scikit-learn 1.9; install that version "
        "(pip install 'scikit-learn==1.9.*')"
    )
