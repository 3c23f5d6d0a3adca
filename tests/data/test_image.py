from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from udbench.data.image import DamagedImage, to_pixels

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    memory = io.BytesIO()
    image.save(memory, form, **options)
    return memory.getvalue()


def grey(data: bytes | np.ndarray, size: int = 8) -> np.ndarray:
    return to_pixels(data, 1, size, size)[..., 0]


def test_grey_becomes_three_equal_channels_and_colour_one() -> None:
    three = to_pixels(encoded(Image.fromarray(RAMP)), 3, 8, 8)
    assert three.shape == (8, 8, 3) and (three == RAMP[..., None]).all()
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert to_pixels(encoded(red), 1, 8, 8).tolist() == [[[76]] * 8] * 8


def test_arrays_and_files_give_the_same_pixels() -> None:
    assert (grey(RAMP) == grey(encoded(Image.fromarray(RAMP)))).all()


def test_resizing_is_bilinear_with_antialiasing_and_does_not_keep_the_aspect() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (16, 8))
    assert abs(to_pixels(stripes, 1, 4, 4).astype(int) - 127).max() <= 32
    assert to_pixels(np.zeros((10, 30), np.uint8), 1, 6, 7).shape == (6, 7, 1)


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = RAMP.astype(np.uint16) * 257
    assert (grey(encoded(Image.fromarray(deep))) == RAMP).all()


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = grey(encoded(Image.fromarray(RAMP), "PNG", exif=exif))
    assert (turned == np.rot90(RAMP, -1)).all()


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.putpixel((0, 0), (0, 0, 0, 255))
    pixels = to_pixels(encoded(clear), 3, 8, 8)
    assert (pixels[0, 0] == 0).all() and pixels.sum() == 63 * 3 * 255
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0] + [255] * 765)
    assert (to_pixels(encoded(palette, transparency=0), 3, 8, 8) == 255).all()


def test_palettes_cmyk_and_bilevel_are_converted() -> None:
    assert (to_pixels(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "TIFF"), 3, 8, 8) < 5).all()
    assert (to_pixels(encoded(Image.new("1", (8, 8), 1)), 1, 8, 8) == 255).all()
    assert (
        to_pixels(encoded(Image.new("RGB", (8, 8), (9, 99, 199)).quantize(4)), 3, 8, 8)[0, 0] - [9, 99, 199] < 4
    ).all()


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("L", (8, 8), value) for value in (40, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (grey(data) == 40).all()


def test_an_image_of_one_pixel_is_an_image() -> None:
    assert (to_pixels(np.full((1, 1), 7, np.uint8), 1, 8, 8) == 7).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no image at all", "not an image"),
        (encoded(Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64), np.uint8)))[:900], "truncated"),
        (encoded(Image.fromarray(np.zeros((99, 99), np.uint8)), "JPEG")[:200], "not an image|[Tt]runcated|broken"),
    ],
)
def test_damaged_files_are_named_as_such(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedImage, match=reason):
        to_pixels(data, 1, 8, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM", "TGA", "DDS"])
def test_whatever_decoders_trip_over_is_a_damaged_image(form: str) -> None:
    random = np.random.RandomState(0)
    good = encoded(Image.fromarray(random.randint(0, 255, (20, 20, 3), np.uint8)), form)
    damaged = 0
    for _ in range(150):
        data = bytearray(good)
        for place in random.randint(0, min(len(data), 80), 3):
            data[place] = random.choice([0, 1, 127, 255])
        try:
            assert to_pixels(bytes(data), 3, 8, 8).shape == (8, 8, 3)
        except DamagedImage as error:
            assert str(error)
            damaged += 1
    assert damaged


def test_a_large_image_below_the_limit_is_no_warning() -> None:
    large = encoded(Image.new("1", (10_000, 9_500)), "PNG")
    assert to_pixels(large, 1, 2, 2).max() == 0


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(DamagedImage):
        to_pixels(bomb, 1, 8, 8)
