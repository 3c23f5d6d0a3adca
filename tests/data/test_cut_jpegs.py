"""A JPEG that ends before its image data are complete is refused; one that is whole never is, however it was made."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udbench.data.image import DamagedImage, decode, to_pixels

HEIGHT, WIDTH = 72, 100
DRAWS = np.random.default_rng(0)
Y, X = np.mgrid[:HEIGHT, :WIDTH]
SMOOTH = 128 + 90 * np.sin(Y / 9) * np.cos(X / 13) + DRAWS.normal(0, 8, (HEIGHT, WIDTH))
COLOURED = np.dstack([SMOOTH, np.roll(SMOOTH, 7, 0), 255 - SMOOTH]).clip(0, 255).astype(np.uint8)
NOISE = DRAWS.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def flat(*colour: int) -> np.ndarray:
    return np.tile(np.array(colour, np.uint8), (HEIGHT, WIDTH, 1))


PICTURES = {
    "smooth": COLOURED,
    "noise": NOISE,
    "one pixel": NOISE[:1, :1],
    "black": flat(0, 0, 0),
    "white": flat(255, 255, 255),
    "the grey that libjpeg puts where data are missing": flat(128, 128, 128),
    "one colour": flat(200, 30, 77),
    "grey below": np.where(Y[..., None] > 30, 128, COLOURED).astype(np.uint8),
    "white below": np.where(Y[..., None] > 30, 255, COLOURED).astype(np.uint8),
    "the same block everywhere": np.tile(NOISE[:8, :8], (9, 12, 1)),
    "checks": np.dstack([((X + Y) % 2 * 255).astype(np.uint8)] * 3),
    "a ramp": np.dstack([(X * 2).astype(np.uint8)] * 3),
    "dots": np.repeat(np.where(DRAWS.random((HEIGHT, WIDTH, 1)) < 0.01, 255, 0), 3, 2).astype(np.uint8),
}


def ways() -> Iterator[dict[str, object]]:
    for quality, form, mode in itertools.product((5, 50, 75, 95, 100), range(4), ("L", "RGB", "CMYK")):
        yield {
            "quality": quality,
            "mode": mode,
            "progressive": form == 1,
            "optimize": form == 2,
            "subsampling": "4:2:0" if form in (0, 3) else "4:4:4",
            "restart_marker_rows": int(form == 3),
        }


def jpeg(pixels: np.ndarray, mode: str = "RGB", **how: object) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(memory, "JPEG", **how)
    return memory.getvalue()


def coded(data: bytes, share: float) -> int:
    """A place in the coded data: where so much of them has passed, of several scans so much of all but the last.

    The last one makes a picture sharper that is whole without it.
    """
    start, last = data.index(b"\xff\xda") + 16, data.rindex(b"\xff\xda")
    return start + int(((last if last > start else len(data)) - start) * share)


def closed(data: bytes, share: float) -> bytes:
    """Cut there, and given the marker that ends a file."""
    return data[: coded(data, share)].rstrip(b"\xff") + b"\xff\xd9"


@pytest.mark.parametrize("name", PICTURES)
def test_a_whole_jpeg_is_never_refused(name: str) -> None:
    for how in ways():
        assert decode(jpeg(PICTURES[name], **how), 3).size == PICTURES[name].shape[1::-1]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_a_cut_one_is_refused_whatever_stands_at_its_end(share: float) -> None:
    for how in ways():
        data = jpeg(COLOURED, **how)
        with pytest.raises(DamagedImage, match=r"truncated|ends before its image data are complete"):
            decode(data[: coded(data, share)], 3)
        with pytest.raises(DamagedImage, match=r"ends before its image data are complete|broken data stream|truncated"):
            decode(closed(data, share), 3)


def test_one_that_ends_in_zeros_or_has_a_hole_of_zeros_is_refused() -> None:
    for mode, quality in itertools.product(("L", "RGB"), (50, 75, 95, 100)):
        data = jpeg(NOISE, mode, quality=quality)
        half = coded(data, 0.5)
        rest = len(data) - half
        for broken in (
            data[:half] + bytes(rest),
            data[:half] + bytes(rest - 2) + b"\xff\xd9",
            data[:half] + bytes(100) + data[half + 100 :],
        ):
            with pytest.raises(
                DamagedImage, match=r"zeros from byte [\d,]+ on: part of the file was not written|truncated"
            ):
                decode(broken, 3)


def test_zeros_outside_the_coded_data_are_nobodys_damage() -> None:
    data = jpeg(COLOURED)
    padded = data[:2] + b"\xff\xec\x01\x02" + bytes(256) + data[2:] + bytes(4096)
    assert (to_pixels(padded, 3, HEIGHT, WIDTH) == to_pixels(data, 3, HEIGHT, WIDTH)).all()


def test_a_cut_one_is_refused_among_other_metadata_and_in_front_of_a_second_picture() -> None:
    data = jpeg(COLOURED, quality=90)
    cut = closed(data, 0.5)
    for broken in (cut + data, cut[:2] + b"\xff\xec\x01\x02" + bytes(256) + cut[2:], cut + b"junk" * 99):
        with pytest.raises(DamagedImage, match="ends before its image data are complete"):
            decode(broken, 3)


@pytest.mark.real
@pytest.mark.slow
def test_real_jpegs_are_whole_and_ordinary_images_are_what_pillow_makes_of_them() -> None:
    """Some hundred of each kind: to the byte what they were before anything was looked at."""
    if not (data := os.environ.get("UDBENCH_DATA")):
        pytest.skip("set UDBENCH_DATA to a folder of real images")
    for folder, pattern, channels in (
        ("cifar10", "**/*.jpg", 3), ("plankton", "**/*.jpg", 1), ("caltech101", "**/*.jpg", 3),
        ("omniglot", "**/*.png", 1), ("sketches", "**/*.png", 1), ("daimler", "**/*.pgm", 1), ("gtsrb", "**/*.ppm", 3),
    ):  # fmt: skip
        paths = sorted((Path(data) / folder).glob(pattern))
        for path in paths[:: max(1, len(paths) // 300)]:
            with Image.open(path) as image:
                wanted = image.convert("L" if channels == 1 else "RGB").resize((40, 30), Image.Resampling.BILINEAR)
            found = to_pixels(path.read_bytes(), channels, 30, 40)
            assert (found.reshape(30, 40, -1) == np.asarray(wanted).reshape(30, 40, -1)).all(), path
