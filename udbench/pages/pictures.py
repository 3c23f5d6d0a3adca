"""Images in pages: small, as data URIs, so that a page is one file. Stores are found by what binds their images."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from udbench.boards.predictions import Answers
from udbench.data.store import Store, stores_of
from udbench.errors import UdbenchError

SIZE = 96
SHOWN_SMALL = 64
MOST_BYTES = 12_000
SHEET = 48


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image of a store as a data URI, its class, and what a network took it for ("" where none was asked)."""

    uri: Markup
    width: int
    height: int
    label: str
    predicted: str = ""

    @property
    def wrong(self) -> bool:
        return self.predicted not in ("", self.label)


class Stores:
    """The stores on this machine, by the sha256 of their images and labels; each is opened once."""

    def __init__(self) -> None:
        self._opened: dict[str, Store | None] = {}

    def find(self, sha256: str) -> Store | None:
        """The store of these very images, if it is here and whole."""
        if sha256 not in self._opened:
            self._opened[sha256] = next(stores_of(sha256), None)
        return self._opened[sha256]


def sheet(store: Store) -> list[Picture]:
    """A training image of up to so many classes, drawn evenly from all that have any."""
    present = np.flatnonzero(store.train_counts)
    shown = present[np.linspace(0, len(present) - 1, min(SHEET, len(present))).round().astype(int)]
    labels = store.labels[: store.num_train]
    made = (_picture(store, int(np.argmax(labels == label)), class_name(store, int(label))) for label in shown)
    return [picture for picture in made if picture is not None]


def mistakes(store: Store, answers: Answers, most: int) -> list[Picture]:
    """Test images that were told wrongly, those first whose own class seemed least probable."""
    wrong = np.flatnonzero(answers.label != answers.predicted)
    worst = wrong[np.argsort(answers.log_probability[wrong], kind="stable")]
    return _told(store, answers, worst[: 4 * most], most)


def samples(store: Store, answers: Answers) -> list[Picture]:
    """Two test images: the worst mistake, and the first that was told rightly."""
    right = np.flatnonzero(answers.label == answers.predicted)
    return [*mistakes(store, answers, 1), *_told(store, answers, right[:1], 1)]


def class_name(store: Store | None, label: int) -> str:
    """What a class is called, by its number where the store is not here or has no such class."""
    if store is not None and 0 <= label < len(store.class_names):
        return store.class_names[label]
    return f"class {label}"


def fits(store: Store, answers: Answers) -> bool:
    """Whether these answers are of a store's test images."""
    return len(answers.labels) == store.num_test and np.array_equal(answers.labels, store.labels[store.num_train :])


def _told(store: Store, answers: Answers, places: NDArray[np.integer], most: int) -> list[Picture]:
    """Each image once, though several draws of a method told it."""
    images = dict.fromkeys(int(place) % store.num_test for place in reversed(places.tolist()))
    last = {int(place) % store.num_test: int(place) for place in reversed(places.tolist())}
    made: list[Picture] = []
    for image in [*reversed(images)][:most]:
        predicted = class_name(store, int(answers.predicted[last[image]]))
        label = class_name(store, int(answers.label[last[image]]))
        if (picture := _picture(store, store.num_train + image, label, predicted)) is not None:
            made.append(picture)
    return made


def _picture(store: Store, row: int, label: str, predicted: str = "") -> Picture | None:
    try:
        image = store.picture(row)
    except (UdbenchError, OSError, ValueError):
        return None  # a page without a picture is still a page
    image.thumbnail((SIZE, SIZE))
    content = _encoded(image)
    if content is None:
        return None
    factor = max(1, SHOWN_SMALL // max(image.size))
    return Picture(
        uri=Markup("data:image/webp;base64,") + base64.b64encode(content).decode(),
        width=image.width * factor,
        height=image.height * factor,
        label=label,
        predicted=predicted,
    )


def _encoded(image: Image.Image) -> bytes | None:
    for quality in (82, 40):
        memory = io.BytesIO()
        image.save(memory, "WEBP", quality=quality, method=4)
        if memory.tell() <= MOST_BYTES:
            return memory.getvalue()
    return None
