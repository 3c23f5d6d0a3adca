"""Synthetic image files, a temporary folder for stores of them, and functions that only decode."""

from __future__ import annotations

import functools
import io
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from PIL import Image

from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.image import decode, to_pixels
from udbench.data.locations import CACHE, cache_root
from udbench.data.shard_store import PER_SHARD, kept_form
from udbench.data.store import StoreRequest, picture_sums
from udbench.data.view import DRAWS, View
from udbench.processes.pool import Processes
from udbench.seeds import PHOTOGRAPH
from udbench.train.rng import draws

CLASSES, DISTINCT = 4, 64


class Tree:
    """Class folders of synthetic images: smooth shapes and noise. A few distinct images are stored under many names.

    `size` is height and width, `suffix` "jpg" or "png". Test images fill whole shards if there are enough.
    """

    def __init__(self, root: Path, size: tuple[int, int], suffix: str, count: int) -> None:
        self.root, self.count = root, count
        distinct = [photograph(size, suffix, number) for number in range(min(DISTINCT, count))]
        test = count // (2 * PER_SHARD) * PER_SHARD or count // 2
        self.files = [
            f"{root}/{'test' if i < test else 'train'}/class{i % CLASSES}/{i:07d}.{suffix}" for i in range(count)
        ]
        for split in ("train", "test"):
            for number in range(CLASSES):
                (root / split / f"class{number}").mkdir(parents=True)
        for i, path in enumerate(self.files):
            Path(path).write_bytes(distinct[i % len(distinct)])
        self.domain = folder_domain(root)
        self.facts: dict[str, Any] = {
            "count": count,
            "suffix": suffix,
            "height": size[0],
            "width": size[1],
            "mean_bytes": round(sum(map(len, distinct)) / len(distinct)),
        }

    def wanted(self, form: StoreFormat) -> StoreRequest:
        """The request for a store of these images in a format."""
        return StoreRequest(domain=self.domain, root=self.root, form=form)


def photograph(size: tuple[int, int], suffix: str, number: int) -> bytes:
    """The bytes of a synthetic image file, the same for the same arguments."""
    height, width = size
    stream = draws(PHOTOGRAPH, suffix, number)
    pixels = stream.normal(0, 8, (height, width, 3))
    for cells, weight in ((4, 0.6), (16, 0.3), (48, 0.1)):
        coarse = Image.fromarray(stream.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += weight * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    memory = io.BytesIO()
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if suffix == "jpg":
        image.save(memory, "JPEG", quality=92)
    else:
        image.save(memory, "PNG")
    return memory.getvalue()


class TemporaryStores:
    """A temporary folder in the cache, on the disk of the stores, which is deleted when the block ends.

    Stores prepared after `kept` are reused; those prepared after `anew` are made each time.
    """

    def __enter__(self) -> Self:
        self._before, self._numbers = os.environ.get(CACHE), itertools.count()
        cache_root().mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=cache_root()))
        self.kept()
        return self

    def kept(self) -> None:
        """Reuse the stores that are prepared from now on."""
        os.environ[CACHE] = str(self.folder / "kept")

    def anew(self) -> None:
        """Prepare from now on in an empty cache."""
        os.environ[CACHE] = str(self.folder / "anew" / str(next(self._numbers)))

    def clear(self) -> None:
        """Delete the stores of `anew`."""
        shutil.rmtree(self.folder / "anew", ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ[CACHE]
        else:
            os.environ[CACHE] = self._before
        shutil.rmtree(self.folder)


# few enough that all processes end at about the same time, enough that distributing them costs little
AT_ONCE = 32


File = TypeVar("File")


def alone(processes: Processes, work: Callable[[Sequence[File]], None], files: Sequence[File]) -> None:
    """Do `work` on all files in these processes."""
    some = [files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE)]
    for _ in processes(work, some, lost="the figures are lost"):
        pass


def resizing(height: int, width: int) -> Callable[[Sequence[str]], None]:
    """Decode and resize files, as for a store of pixels."""
    return functools.partial(_resize, height, width)


def bare(height: int, width: int) -> Callable[[Sequence[str]], None]:
    """Decode and resize files with Pillow, without any check of format, orientation or transparency."""
    return functools.partial(_bare, height, width)


def decoding(files: Sequence[str]) -> None:
    """Decode files, as for shards of files: such a store guarantees that each can be decoded."""
    for path in files:
        decode(_read(path), 3)


def counting(files: Sequence[tuple[str, bool]]) -> None:
    """Decode files, and sum the pixels of training images for their mean and standard deviation."""
    for path, trained_on in files:
        image = decode(_read(path), 3)
        if trained_on:
            picture_sums(image)


def encoding(form: StoreFormat) -> Callable[[Sequence[str]], None]:
    """Decode, resize and re-encode files, as for shards of jpeg."""
    return functools.partial(_encode, form)


def windows(view: View) -> Callable[[Sequence[tuple[str, Sequence[float]]]], None]:
    """Decode files and make a random crop of each, as for a round of training."""
    return functools.partial(_window, view)


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (in half the time)
        return file.read()


def _resize(height: int, width: int, files: Sequence[str]) -> None:
    for path in files:
        to_pixels(_read(path), 3, height, width)


def _bare(height: int, width: int, files: Sequence[str]) -> None:
    for path in files:
        with Image.open(io.BytesIO(_read(path))) as image:
            np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))


def _encode(form: StoreFormat, files: Sequence[str]) -> None:
    for path in files:
        kept_form(_read(path), 3, form)


def _window(view: View, files: Sequence[tuple[str, Sequence[float]]]) -> None:
    for path, draw in files:
        assert len(draw) == DRAWS
        view.pixels(_read(path), 3, draw)
