"""Contact sheets: example images of a domain with their classes."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from udbench.data.split import ESCAPE, text
from udbench.data.store import Store
from udbench.files import atomic_write

CELL, GAP, CAPTION, TITLE = 96, 8, 16, 34


def contact_sheet(store: Store, out: Path, *, classes: int = 40, columns: int = 8, seed: int = 0) -> Path:
    """Write a PNG with training images of up to `classes` classes, with class names; return its path.

    If there are more classes, they are chosen evenly from all; if there are fewer, each has several images.
    """
    present = np.flatnonzero(store.train_counts)
    shown = present[np.linspace(0, len(present) - 1, min(classes, len(present))).round().astype(int)]
    per_class = max(1, classes // len(shown))
    picks = [row for label in shown for row in _picked(store, int(label), per_class, seed)]
    lines = -(-len(picks) // columns)
    sheet = Image.new("RGB", (columns * (CELL + GAP) + GAP, TITLE + lines * (CELL + CAPTION + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((GAP, GAP), _title(store, len(shown), len(present)), "black", ImageFont.load_default(15))
    for position, row in enumerate(picks):
        line, column = divmod(position, columns)
        x, y = GAP + column * (CELL + GAP), TITLE + line * (CELL + CAPTION + GAP)
        sheet.paste(_picture(store, row), (x, y))
        draw.text((x, y + CELL + 1), _fitted(draw, store.class_names[store.labels[row]], font), "#333333", font)
    memory = io.BytesIO()
    sheet.save(memory, "PNG")
    atomic_write(Path(out), memory.getvalue())
    return Path(out)


def _picked(store: Store, label: int, number: int, seed: int) -> list[int]:
    """Choose training rows of a class, reproducibly for a seed."""
    rows = np.flatnonzero(store.labels[: store.num_train] == label).tolist()

    def rank(row: int) -> bytes:
        return hashlib.blake2b(f"{seed}\x1f{text(store.names[row])}".encode(errors=ESCAPE)).digest()

    return sorted(rows, key=rank)[:number]


def _picture(store: Store, row: int) -> Image.Image:
    picture = store.picture(row).convert("RGB")
    size = (CELL, CELL)
    if store.form.sharded:
        factor = CELL / max(picture.size)
        size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    small = max(picture.size) < CELL
    return picture.resize(size, Image.Resampling.NEAREST if small else Image.Resampling.BILINEAR)


def _title(store: Store, shown: int, present: int) -> str:
    classes = f"{shown} of {present} classes shown" if shown < present else f"{present} classes"
    missing = f"; incomplete: {store.missing}" if store.missing else ""
    return f"{store.name}: {classes}, {store.num_train:,} training and {store.num_test:,} test images{missing}"


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a caption to the width of its image, on one line."""
    text = " ".join(text.split())
    if draw.textlength(text, font) <= CELL:
        return text
    while text and draw.textlength(text + "…", font) > CELL:
        text = text[:-1]
    return text + "…"
