"""Decoding by itself: what preparing and feeding images cannot do without, and nothing more."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from udbench.data.form import Form
from udbench.data.image import decode, to_pixels
from udbench.data.sharding import kept_form
from udbench.data.store import picture_sums
from udbench.data.view import DRAWS, View
from udbench.processes import Processes

# few enough that all processes end at about the same time, enough that handing them out takes none
AT_ONCE = 32

File = TypeVar("File")


def alone(processes: Processes, work: Callable[[Sequence[File]], None], files: Sequence[File]) -> None:
    """Do some work on all files in these processes."""
    some = [files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE)]
    for _ in processes(work, some, lost="the figures are lost"):
        pass


def resizing(height: int, width: int) -> Callable[[Sequence[str]], None]:
    """Decode files and resize them, as for a store of pixels."""
    return functools.partial(_resize, height, width)


def bare(height: int, width: int) -> Callable[[Sequence[str]], None]:
    """The same as Pillow does it where nobody checks what is opened, turned or transparent."""
    return functools.partial(_bare, height, width)


def decoding(files: Sequence[str]) -> None:
    """Decode files, as for shards of files: that each can be decoded is what such a store promises."""
    for path in files:
        decode(_read(path), 3)


def counting(files: Sequence[tuple[str, bool]]) -> None:
    """The same, and count the pixels of those that are trained on, for their mean and deviation."""
    for path, trained_on in files:
        image = decode(_read(path), 3)
        if trained_on:
            picture_sums(image)


def encoding(form: Form) -> Callable[[Sequence[str]], None]:
    """Decode files, resize them and encode them anew, as for shards of jpeg."""
    return functools.partial(_encode, form)


def windows(view: View) -> Callable[[Sequence[tuple[str, Sequence[float]]]], None]:
    """Decode files and cut a window that is drawn for each, as for a round of training."""
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


def _encode(form: Form, files: Sequence[str]) -> None:
    for path in files:
        kept_form(_read(path), 3, form)


def _window(view: View, files: Sequence[tuple[str, Sequence[float]]]) -> None:
    for path, draw in files:
        assert len(draw) == DRAWS
        view.pixels(_read(path), 3, draw)
