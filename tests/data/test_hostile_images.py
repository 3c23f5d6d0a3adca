"""Odd, broken and hostile pictures in a folder to be prepared: used as documented, or refused by name and reason."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.stores import made, wanted
from udbench.data.form import StoreFormat
from udbench.data.image import to_pixels
from udbench.data.store import find_store, verify_store
from udbench.errors import DataError
from udbench.testing import write_bytes, write_class_folders

# 6 high and 8 wide, as the stores of these tests: nothing is resized. No symmetry maps it to itself.
PICTURE = np.zeros((6, 8, 3), dtype=np.uint8)
PICTURE[:, :4] = (250, 10, 30)
PICTURE[:, 4:] = (20, 200, 90)
PICTURE[:2, :2] = (0, 0, 255)
DEEP = (np.arange(48, dtype=np.uint16) * 1390).reshape(6, 8)
WHITE = np.full_like(PICTURE, 255)


def saved(pixels: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    memory = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(memory, form, **options)
    return memory.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: rows each begin with a byte of filter."""
    head = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def png_rows(array: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in array)


def jpeg_with(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def jpeg_without(jpeg: bytes, marker: int) -> bytes:
    at = jpeg.index(bytes([0xFF, marker]))
    return jpeg[:at] + jpeg[at + 2 + struct.unpack_from(">H", jpeg, at + 2)[0] :]


def on_white(pixels: np.ndarray, alpha: np.ndarray | int) -> np.ndarray:
    share = np.broadcast_to(np.asarray(alpha) / 255, pixels.shape[:2])[..., None]
    return pixels * share + 255 * (1 - share)


def turned(orientation: int) -> np.ndarray:
    """How PICTURE lies in a file of that EXIF orientation: as the tag's definition has it, row by row."""
    upright = PICTURE.transpose(1, 0, 2) if orientation > 4 else PICTURE
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}[
        orientation
    ]
    return np.ascontiguousarray(upright[::rows, ::columns])


def with_orientation(orientation: int, form: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(turned(orientation), form, exif=exif, **options)


def frames(form: str, **options: object) -> bytes:
    other = Image.fromarray(255 - PICTURE)
    return saved(PICTURE, form, save_all=True, append_images=[other, other], **options)


def palette(clear: bytes | int) -> bytes:
    # Colours 0 and 1 are those of the two halves, 2 that of the corner.
    index = np.zeros((6, 8), dtype=np.uint8)
    index[:, 4:], index[:2, :2] = 1, 2
    image = Image.frombytes("P", (8, 6), index.tobytes())
    image.putpalette([250, 10, 30, 20, 200, 90, 0, 0, 255])
    return saved(image, transparency=clear)


RGBA = np.dstack([PICTURE, np.full((6, 8), 100, np.uint8)])
HALF = np.where(np.arange(8) < 4, 0, 255) * np.ones((6, 1), int)
CHECKS = (np.indices((6, 8)).sum(0) % 2 * 255).astype(np.uint8)
GREY = np.dstack([(DEEP / 257).round()] * 3)
JPEG = saved(PICTURE, "JPEG", quality=100, subsampling=0)
CMYK = saved(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=100, subsampling=0)

# name: the file's bytes, the picture that it is, and by how much its values may differ
USED: dict[str, tuple[bytes, np.ndarray, int]] = {
    "rgba.png": (saved(RGBA), on_white(PICTURE, 100), 1),
    "rgba-16.png": (png(8, 6, 16, 6, png_rows(RGBA.astype(">u2") * np.array(257, ">u2"))), on_white(PICTURE, 100), 1),
    "rgb-16.png": (png(8, 6, 16, 2, png_rows((PICTURE.astype(np.uint32) * 257).astype(">u2"))), PICTURE, 0),
    "grey-16.png": (saved(DEEP), GREY, 0),
    "grey-16-key.png": (
        png(8, 6, 16, 0, png_rows(DEEP.astype(">u2")), (b"tRNS", struct.pack(">H", 1390))),
        np.where(DEEP[..., None] == 1390, WHITE, GREY),
        0,
    ),
    "grey-16.tif": (saved(DEEP, "TIFF"), GREY, 0),
    "grey-16.pgm": (b"P5\n8 6\n65535\n" + DEEP.astype(">u2").tobytes(), GREY, 0),
    "palette-clear.png": (palette(0), on_white(PICTURE, np.where(PICTURE[..., 0] == 250, 0, 255)), 0),
    "palette-half.png": (palette(bytes([100, 100, 100])), on_white(PICTURE, 100), 1),
    "grey-alpha.png": (saved(np.dstack([CHECKS, HALF.astype(np.uint8)])), on_white(np.dstack([CHECKS] * 3), HALF), 0),
    "bilevel.png": (saved(Image.fromarray(CHECKS).convert("1")), np.dstack([CHECKS] * 3), 0),
    "cmyk.jpg": (CMYK, PICTURE, 8),
    "cmyk-unmarked.jpg": (jpeg_without(CMYK, 0xEE), PICTURE, 8),
    "cmyk.tif": (saved(Image.fromarray(PICTURE).convert("CMYK"), "TIFF"), PICTURE, 1),
    "two-pictures.jpg": (saved(PICTURE, "MPO", quality=100, subsampling=0, save_all=True), PICTURE, 8),
    "one-pixel.png": (saved(PICTURE[:1, :1]), np.broadcast_to(PICTURE[0, 0], (6, 8, 3)), 0),
    "column.png": (saved(PICTURE[:, :1]), np.broadcast_to(PICTURE[:, :1], (6, 8, 3)), 0),
    "row.png": (saved(PICTURE[:1]), np.broadcast_to(PICTURE[:1], (6, 8, 3)), 0),
    "long-strip.png": (saved(np.full((1, 60_000), 7, np.uint8)), np.full((6, 8, 3), 7), 0),
    "animated.gif": (frames("GIF"), PICTURE, 0),
    "animated.webp": (frames("WEBP", lossless=True), PICTURE, 0),
    "animated.png": (frames("PNG"), PICTURE, 0),
    "animated-with-a-cover.png": (frames("PNG", default_image=True), PICTURE, 0),
    "pages.tif": (frames("TIFF"), PICTURE, 0),
    "a-jpeg.png": (JPEG, PICTURE, 8),
    "broken-exif.jpg": (jpeg_with(JPEG, 0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"), PICTURE, 8),
    "orientation-99.jpg": (
        jpeg_with(JPEG, 0xE1, bytes.fromhex("457869660000 4d4d002a00000008 0001 0112000300000001 00630000 00000000")),
        PICTURE,
        8,
    ),
    "junk-after.jpg": (JPEG + b"junk" * 999, PICTURE, 8),
    **{f"turned-{n}.png": (with_orientation(n, "PNG"), PICTURE, 0) for n in range(1, 9)},
    **{f"turned-{n}.tif": (with_orientation(n, "TIFF"), PICTURE, 0) for n in range(1, 9)},
    **{f"turned-{n}.webp": (with_orientation(n, "WEBP", lossless=True), PICTURE, 0) for n in range(1, 9)},
    **{f"turned-{n}.jpg": (with_orientation(n, "JPEG", quality=100, subsampling=0), PICTURE, 8) for n in range(1, 9)},
}

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
SWOLLEN = zlib.compress(bytes(100_000_000), 9)
WHOLE = png_rows(PICTURE)


def tiled_tiff(side: int) -> bytes:
    """A TIFF of 8x6 pixels in one packed tile of that side."""
    data = zlib.compress(bytes(100))
    tags = [(256, 8), (257, 6), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side), (325, len(data))]
    head = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags = sorted([*tags, (324, head)])
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + listed + bytes(4) + data


# name: the file's bytes, and what is said of it
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "the file is empty"),
    "text.png": (b"Not a picture.\n", r"not an image \((AVIF, )?BMP, GIF, JPEG"),
    "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="6"/>', "not an image"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\nshowpage\n", "not an image"),
    "targa.png": (saved(PICTURE, "TGA"), "not an image"),
    "half.png": (saved(NOISE)[:6000], "truncated"),
    "head.png": (saved(NOISE)[:20], "not an image|[Tt]runcated"),
    "half.jpg": (saved(NOISE, "JPEG")[:1500], "truncated"),
    "tail.jpg": (saved(NOISE, "JPEG")[:-40], "truncated"),
    "half.gif": (saved(NOISE, "GIF")[:3000], "truncated"),
    "half.webp": (saved(NOISE, "WEBP")[:900], "decoder|truncated"),
    "half.bmp": (saved(NOISE, "BMP")[:900], "truncated"),
    "half.ppm": (saved(NOISE, "PPM")[:900], "truncated"),
    "float.tif": (saved(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8), "TIFF"), "32 bits have no agreed range"),
    "int-32.tif": (saved(np.arange(48, dtype=np.int32).reshape(6, 8), "TIFF"), "32 bits have no agreed range"),
    "no-pixels.png": (png(0, 0, 8, 2, b""), "not an image"),
    "bomb.png": (png(30_000, 30_000, 8, 2, b""), "more than 100,000,000 pixels"),
    "bomb-below-pillows-limit.png": (png(10_001, 10_000, 1, 0, b""), "10001x10000 pixels are more than 100,000,000"),
    "bomb-strip.png": (png(99_000_000, 1, 1, 0, bytes(12_375_001)), "no side may be longer than 65,535"),
    "bomb-text.png": (png(8, 6, 8, 2, WHOLE, (b"iTXt", b"k\0\1\0\0\0" + SWOLLEN)), "too large"),
    "bomb-note.png": (png(8, 6, 8, 2, WHOLE, (b"zTXt", b"k\0\0" + SWOLLEN)), "too large"),
    "bomb-profile.png": (png(8, 6, 8, 2, WHOLE, (b"iCCP", b"k\0\0" + SWOLLEN)), "too large"),
    "bomb-tile.tif": (tiled_tiff(40_000), "tiles of 40000x40000 pixels"),
    "bomb.bmp": (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "more than 100,000,000 pixels",
    ),
    "bomb.ppm": (b"P6\n30000 30000\n255\nabc", "more than 100,000,000 pixels"),
    "large-claim.ppm": (b"P6\n9000 9000\n255\nabc", "truncated"),
    "long-number.ppm": (b"P6\n" + b"9" * 5000 + b" 1\n255\n", "^Token too long"),
    "bomb.gif": (
        b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";",
        "more than 100,000,000|not an image",
    ),
}


FORMS = (
    StoreFormat(height=6, width=8),
    StoreFormat(height=6, width=8, storage="files"),
    StoreFormat(height=6, width=8, storage="jpeg", resize=6),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    layout = {"train/good": 3, "train/odd": 1, "test/good": 2, "test/odd": 1}
    return write_class_folders(tmp_path / "pictures", layout, size=(6, 8))


def test_odd_pictures_are_used_with_their_documented_meaning(folder: Path) -> None:
    for name, (data, _, _) in USED.items():
        write_bytes(folder / "train" / "odd" / name, data)
    store = made(folder)
    found = {Path(name).name: image for name, image in zip(store.names.tolist(), store.images, strict=True)}
    assert store.damaged == [] and verify_store(store) == []
    assert len(store.labels) == 7 + len(USED)
    for name, (_, picture, tolerance) in USED.items():
        away = np.abs(found[name].astype(float) - picture).max()
        assert away <= tolerance, f"{name} is off by {away}"


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_picture_is_refused_by_name_and_reason(folder: Path, name: str) -> None:
    data, reason = REFUSED[name]
    write_bytes(folder / "train" / "odd" / name, data)
    with pytest.raises(DataError, match="1 damaged image in") as caught:
        made(folder)
    said = re.search(rf"train/odd/{re.escape(name)}: (.+)\. Repair or remove them", str(caught.value))
    assert said and re.search(reason, said[1]), caught.value
    assert "\n" not in str(caught.value)
    assert find_store(wanted(folder)) is None


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.storage)
def test_hostile_pictures_are_counted_together_and_can_be_left_out(folder: Path, form: StoreFormat) -> None:
    clean = {Path(name).name for name in made(folder, form=form).names.tolist()}
    for name, (data, _) in REFUSED.items():
        write_bytes(folder / "test" / "odd" / name, data)
    with pytest.raises(DataError, match=rf"{len(REFUSED)} damaged images in .*; and {len(REFUSED) - 10} more"):
        made(folder, form=form)
    assert find_store(wanted(folder, form=form)) is None
    store = made(folder, form=form, skip_damaged=True)
    assert {Path(name).name for name in store.names.tolist()} == clean
    assert {entry.split(": ")[0] for entry in store.damaged} == {f"test/odd/{name}" for name in REFUSED}
    assert verify_store(store) == []


def test_a_folder_that_is_named_like_a_picture_is_a_folder(folder: Path) -> None:
    (folder / "train" / "odd" / "empty.png").mkdir()
    write_bytes(folder / "train" / "odd" / "full.png" / "inner.png", saved(PICTURE))
    store = made(folder)
    assert "train/odd/full.png/inner.png" in store.names.tolist()
    assert len(store.labels) == 8


def test_a_link_to_a_picture_that_is_gone_is_named(folder: Path) -> None:
    (folder / "train" / "odd" / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(DataError, match=r"train/odd/gone\.png: No such file"):
        made(folder)


def test_hostile_pictures_take_no_memory_to_refuse(tmp_path: Path) -> None:
    for name, (data, _) in REFUSED.items():
        write_bytes(tmp_path / name, data)
    code = (
        "import resource, sys, pathlib\n"
        "from udbench.data.image import DamagedImage, to_pixels\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "files, refused = [path.read_bytes() for path in pathlib.Path(sys.argv[1]).iterdir()], 0\n"
        "before = peak()\n"
        "for data in files:\n"
        "    try: to_pixels(data, 3, 6, 8)\n"
        "    except DamagedImage: refused += 1\n"
        "print(refused, (peak() - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    refused, megabytes = map(int, done.stdout.split())
    assert refused == len(REFUSED)
    # The largest buffer is that of a picture that claims 9000x9000 pixels and is believed until its end.
    assert megabytes < 400


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_picture_is_laid_on_white_as_a_small_one_is(channels: int) -> None:
    small = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    large = np.tile(small, (40, 40, 1))
    pixels = to_pixels(saved(large, compress_level=1), channels, 2560, 2560)
    assert (pixels == np.tile(to_pixels(saved(small), channels, 64, 64), (40, 40, 1))).all()
