"""Images of known values, written by hand where Pillow cannot: each is read rightly, or refused with the reason."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from udbench.data.image import FORMATS, DamagedImage, to_pixels

Pixels = NDArray[np.int64]
DRAWS = np.random.default_rng(0)
HEIGHT, WIDTH = 5, 7  # no row fills whole bytes where a sample has fewer than 8 bits
SHORT, LONG = 3, 4
TAGS = {
    "extra": (338, SHORT), "colour_map": (320, SHORT), "sample_format": (339, SHORT), "subsampling": (530, SHORT),
    "ink_set": (332, SHORT), "orientation": (274, SHORT), "exif": (34665, LONG),
}  # fmt: skip


def samples(bits: int, channels: int = 1) -> Pixels:
    """Every kind of value, the lowest and the highest among them."""
    drawn = DRAWS.integers(0, 1 << bits, (HEIGHT, WIDTH, channels))
    drawn[0, 0], drawn[0, 1] = 0, (1 << bits) - 1
    return drawn


def packed(rows: Pixels, bits: int, order: str = ">") -> bytes:
    """Rows of numbers of so many bits, each row filled up to whole bytes."""
    if bits % 8 == 0:
        return rows.astype(f"{order}u{bits // 8}").tobytes()
    text = ["".join(format(int(value), f"0{bits}b") for value in row.ravel()) for row in rows]
    return b"".join(int(row + "0" * (-len(row) % 8), 2).to_bytes(-(-len(row) // 8), "big") for row in text)


def tiff(
    array: Pixels,
    bits: int,
    photometric: int | None,
    order: str = "<",
    planes: int = 1,
    packing: int = 1,
    **more: object,
) -> bytes:
    """A TIFF by hand, in strips of two rows. `packing`: 1 for none, 8 for Deflate."""
    height, width, channels = array.shape
    layers = [array] if planes == 1 else [array[..., i : i + 1] for i in range(channels)]
    strips = [packed(layer[top : top + 2], bits, order) for layer in layers for top in range(0, height, 2)]
    strips = [zlib.compress(strip) for strip in strips] if packing == 8 else strips
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [bits] * channels), 259: (SHORT, [packing]),
        277: (SHORT, [channels]), 278: (LONG, [2]), 284: (SHORT, [planes]), 279: (LONG, [len(s) for s in strips]),
        273: (LONG, [0] * len(strips)),
    }  # fmt: skip
    if photometric is not None:
        tags[262] = (SHORT, [photometric])
    for name, value in more.items():
        tag, kind = TAGS[name]
        tags[tag] = (kind, value if isinstance(value, list) else [value])  # type: ignore
    sizes = {SHORT: 2, LONG: 4}
    head = 8 + 2 + 12 * len(tags) + 4
    place = head + sum(sizes[kind] * len(values) for kind, values in tags.values() if sizes[kind] * len(values) > 4)
    tags[273] = (LONG, [place + sum(map(len, strips[:i])) for i in range(len(strips))])
    listed, aside = struct.pack(f"{order}H", len(tags)), b""
    for tag, (kind, values) in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(raw) > 4:
            aside, raw = aside + raw, struct.pack(f"{order}I", head + len(aside))
        listed += struct.pack(f"{order}HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8) + listed + bytes(4) + aside + b"".join(strips)


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(array: Pixels, bits: int, colour: int, *more: bytes) -> bytes:
    """A PNG by hand; `more` are chunks before the pixels."""
    rows = b"".join(b"\0" + packed(row[None], bits) for row in array)
    head = struct.pack(">2I5B", array.shape[1], array.shape[0], bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(array: Pixels, bits: int, palette: NDArray[np.uint8] | None = None, masks: Sequence[int] = ()) -> bytes:
    """A BMP by hand, its rows from below."""
    rows = b"".join(
        (row := packed(line[None], bits if bits < 24 else 8, "<")) + bytes(-len(row) % 4) for line in array[::-1]
    )
    colours = b"" if palette is None else palette.tobytes()
    size = 108 if masks else 40
    shape = array.shape[1], array.shape[0], 1, bits
    head = struct.pack("<IiiHHIIiiII", size, *shape, 3 if masks else 0, len(rows), 0, 0, len(colours) // 4, 0)
    head = (head + struct.pack(f"<{len(masks)}I", *masks)).ljust(size, b"\0")
    start = 14 + size + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + colours + rows


def saved(pixels: NDArray[np.uint8] | Image.Image, form: str, **options: object) -> bytes:
    memory = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(memory, form, **options)
    return memory.getvalue()


def assert_read(data: bytes, wanted: NDArray[np.float64], *, within: float = 1.0) -> None:
    """Every value is the wanted one, in colour and, where that is grey, in grey."""
    wanted = wanted if wanted.ndim == 3 else wanted[..., None]
    assert np.abs(to_pixels(data, 3, *wanted.shape[:2]) - wanted).max() <= within + 1e-9
    if wanted.shape[2] == 1:
        assert np.abs(to_pixels(data, 1, *wanted.shape[:2]) - wanted).max() <= within + 1e-9


def on_white(values: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * alpha + 255 * (1 - alpha)


def refused(data: bytes) -> str:
    with pytest.raises(DamagedImage) as caught:
        to_pixels(data, 3, HEIGHT, WIDTH)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packing", [1, 8], ids=["plain", "packed"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
class TestTiff:
    @pytest.mark.parametrize("white_is_zero", [False, True])
    @pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
    def test_greys_of_any_depth_are_read_by_their_own_range_or_refused(
        self, bits: int, white_is_zero: bool, order: str, packing: int
    ) -> None:
        array = samples(bits)
        data = tiff(array, bits, 0 if white_is_zero else 1, order, packing=packing)
        wanted = array * 255 / ((1 << bits) - 1)
        try:
            assert_read(data, 255 - wanted if white_is_zero else wanted, within=0.51)
        except DamagedImage as error:
            assert bits in (10, 14) or (bits, order) == (16, ">") or bits == 12, error
            assert f"1 channel of {bits} bits, photometric interpretation {int(not white_is_zero)}" in str(error)
        else:
            assert bits not in (10, 14)

    @pytest.mark.parametrize("planes", [1, 2])
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("kind", ["rgb", "rgba", "rgb + mask", "premultiplied", "cmyk"])
    def test_colours_are_read_or_refused(self, kind: str, bits: int, planes: int, order: str, packing: int) -> None:
        most = (1 << bits) - 1
        array = samples(bits, 3 if kind == "rgb" else 4)
        values, last = array[..., :3] * 255 / most, array[..., 3:] / most
        more: dict[str, object] = {} if kind in ("rgb", "cmyk") else {"extra": 2}
        if kind == "rgb + mask":
            more = {"extra": 0}
        elif kind == "rgba":
            values = on_white(values, last)
        elif kind == "cmyk":
            values = (255 - values) * (1 - last)
        elif kind == "premultiplied":
            more = {"extra": 1}
            array = np.dstack([np.round(array[..., :3] * last).astype(np.int64), array[..., 3:]])
            values = array[..., :3] * 255 / most + 255 * (1 - last)
        data = tiff(array, bits, 5 if kind == "cmyk" else 2, order, planes, packing, **more)
        try:
            assert_read(data, values, within=3 if bits == 16 and kind != "rgb" else 1)
        except DamagedImage as error:
            assert planes == 2 and ("plane of" in str(error) or "4 channels of 8 bits" in str(error))
        else:
            assert planes == 1 or packing == 8 or bits == 8

    @pytest.mark.parametrize("extra", [0, 1, 2])
    def test_a_second_channel_is_alpha_only_where_the_file_says_so(self, extra: int, order: str, packing: int) -> None:
        array = samples(8, 2)
        grey, alpha = array[..., :1], array[..., 1:] / 255
        wanted = grey.astype(float) if extra == 0 else on_white(grey, alpha)
        if extra == 1:
            array = np.dstack([np.round(grey * alpha).astype(np.int64), array[..., 1:]])
            wanted = array[..., :1] + 255 * (1 - alpha)
        assert_read(tiff(array, 8, 1, order, packing=packing, extra=extra), wanted)
        if extra:
            assert "a plane of 8 bits" in refused(tiff(array, 8, 1, order, 2, packing, extra=extra))

    def test_palettes_are_of_sixteen_bits_or_of_eight_as_old_programs_wrote(self, order: str, packing: int) -> None:
        array, colours = samples(8), DRAWS.integers(0, 256, (256, 3))
        for scale in (257, 1):
            data = tiff(array, 8, 3, order, packing=packing, colour_map=(colours.T * scale).ravel().tolist())
            assert_read(data, colours[array[..., 0]])

    def test_ycbcr_is_converted_and_what_cannot_be_is_refused(self, order: str, packing: int) -> None:
        array = DRAWS.integers(60, 190, (HEIGHT, WIDTH, 3))
        y, cb, cr = (array[..., i] - (128 if i else 0) for i in range(3))
        wanted = np.dstack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]).clip(0, 255)
        assert_read(tiff(array, 8, 6, order, packing=packing, subsampling=[1, 1]), wanted)
        if packing == 1:
            assert "subsampled without being compressed" in refused(tiff(array, 8, 6, order))

    def test_cielab_is_converted(self, order: str, packing: int) -> None:
        lab = np.tile(np.array([[255, 0, 0], [128, 0, 0], [138, 81, 70]]), (2, 1, 1))
        wanted = np.tile(np.array([[255, 255, 255], [119, 119, 119], [255, 0, 0]]), (2, 1, 1))
        assert_read(tiff(lab, 8, 8, order, packing=packing), wanted, within=6)

    def test_what_would_be_read_wrongly_is_refused_with_the_reason(self, order: str, packing: int) -> None:
        grey, four = samples(8), samples(8, 4)

        def said(array: Pixels, bits: int, photometric: int | None, **more: object) -> str:
            return refused(tiff(array, bits, photometric, order, packing=packing, **more))

        assert "does not say what its values mean (PhotometricInterpretation); convert the image" in said(grey, 8, None)
        assert "signed numbers of 8 bits" in said(grey, 8, 1, sample_format=2)
        assert "signed numbers of 16 bits" in said(grey, 16, 1, sample_format=2)
        assert "32 bits have no agreed range" in said(grey, 32, 1, sample_format=2)
        assert "has 4 channels, and does not say what 1 of them are (ExtraSamples)" in said(four, 8, 2)
        assert "inks are not cyan, magenta, yellow and black" in said(four, 8, 5, ink_set=2)
        assert "2 channels of 16 bits" in said(samples(16, 2), 16, 1, extra=2)

    def test_a_note_that_cannot_be_followed_harms_no_pixel(self, order: str, packing: int) -> None:
        array = samples(8)
        for place in (3, 99_999_999):
            assert_read(tiff(array, 8, 1, order, packing=packing, exif=place), array.astype(float), within=0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_of_any_depth(bits: int) -> None:
    most = (1 << bits) - 1
    grey = samples(bits)
    wanted = grey * 255 / most
    assert_read(png(grey, bits, 0), wanted, within=0.51)
    for key in (1, most):
        clear = png(grey, bits, 0, chunk(b"tRNS", struct.pack(">H", key)))
        assert_read(clear, np.where(grey == key, 255, wanted), within=0.51)
    if bits <= 8:
        colours = DRAWS.integers(0, 256, (1 << bits, 3))
        clear = DRAWS.integers(0, 256, 1 << bits)
        palette = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
        shown = colours[grey[..., 0]].astype(float)
        assert_read(png(grey, bits, 3, palette), shown, within=0)
        alphas = chunk(b"tRNS", clear.astype(np.uint8).tobytes())
        assert_read(png(grey, bits, 3, palette, alphas), on_white(shown, clear[grey] / 255))
    if bits >= 8:
        rgb, ga, rgba = samples(bits, 3), samples(bits, 2), samples(bits, 4)
        assert_read(png(rgb, bits, 2), rgb * 255 / most)
        assert_read(png(ga, bits, 4), on_white(ga[..., :1] * 255 / most, ga[..., 1:] / most), within=2)
        assert_read(png(rgba, bits, 6), on_white(rgba[..., :3] * 255 / most, rgba[..., 3:] / most), within=2)
        keyed = png(rgb, bits, 2, chunk(b"tRNS", struct.pack(">3H", *rgb[2, 3].tolist())))
        if bits == 16:
            assert "the PNG marks transparency by a colour of 16 bits" in refused(keyed)
        else:
            assert_read(keyed, np.where((rgb == rgb[2, 3]).all(-1, keepdims=True), 255, rgb))


@pytest.mark.parametrize("most", [1, 3, 15, 100, 255, 256, 1023, 4095, 65_535])
def test_pnm_of_any_range(most: int) -> None:
    grey = DRAWS.integers(0, most + 1, (HEIGHT, WIDTH, 1))
    rgb = DRAWS.integers(0, most + 1, (HEIGHT, WIDTH, 3))
    kind = ">u2" if most > 255 else "u1"
    for number, array in ((5, grey), (6, rgb)):
        head = f"{WIDTH} {HEIGHT} {most}\n"
        assert_read(f"P{number} {head}".encode() + array.astype(kind).tobytes(), array * 255 / most, within=0.51)
        plain = f"P{number - 3} {head}" + " ".join(map(str, array.ravel().tolist()))
        assert_read(plain.encode(), array * 255 / most, within=0.51)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_with_palettes(bits: int) -> None:
    indices, number = samples(bits), 1 << bits
    ramp = np.round(np.arange(number) * 255 / (number - 1)).astype(np.uint8)
    of_indices = np.arange(number, dtype=np.uint8)
    for palette in (DRAWS.integers(0, 256, (number, 4)).astype(np.uint8), *(np.repeat(g[:, None], 4, 1) for g in
                    (ramp, ramp[::-1]))):  # fmt: skip
        assert_read(bmp(indices, bits, palette), palette[indices[..., 0]][..., 2::-1].astype(float), within=0)
    dark = bmp(indices, bits, np.repeat(of_indices[:, None], 4, 1))
    if bits == 4:
        assert refused(dark)
    else:
        assert_read(dark, of_indices[indices].astype(float), within=0)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_of_two_colours_in_more_bits_than_they_need(bits: int) -> None:
    """A mask: two colours, black and white, of 8 bits."""
    indices = DRAWS.integers(0, 2, (HEIGHT, WIDTH, 1))
    assert_read(bmp(indices, bits, np.array([[0] * 4, [255] * 4], np.uint8)), indices * 255.0, within=0)


def test_bmp_of_many_colours() -> None:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    rgb, rgba, word = samples(8, 3), samples(8, 4), samples(16)
    assert_read(bmp(rgb, 24), rgb[..., ::-1].astype(float), within=0)
    assert_read(bmp(rgba, 32), rgba[..., 2::-1].astype(float), within=0)
    assert_read(bmp(rgba, 32, masks=masks), on_white(rgba[..., 2::-1], rgba[..., 3:] / 255))
    fives = np.dstack([word >> 10 & 31, word >> 5 & 31, word & 31]) * 255 / 31
    assert_read(bmp(word, 16), fives)
    assert "bitfields layout" in refused(bmp(word, 16, masks=(0xF00, 0xF0, 0xF, 0)))


def test_an_alpha_channel_that_is_zero_throughout_says_nothing() -> None:
    rgba, grey = samples(8, 4), samples(8, 2)
    rgba[..., 3], grey[..., 1] = 0, 0
    colours, levels = rgba[..., :3].astype(float), grey[..., :1].astype(float)
    of_bytes = rgba.astype(np.uint8)
    assert_read(bmp(rgba, 32, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000)), colours[..., ::-1], within=0)
    assert_read(bmp(rgba, 32, masks=(0, 0, 0, 0)), colours[..., ::-1], within=0)
    assert_read(png(rgba, 8, 6), colours, within=0)
    assert_read(png(grey, 8, 4), levels, within=0)
    assert_read(tiff(rgba, 8, 2, extra=2), colours, within=0)
    assert "multiplied by an alpha channel that is 0 throughout" in refused(tiff(rgba, 8, 2, extra=1))
    assert_read(tiff(grey, 8, 1, extra=2), levels, within=0)
    assert_read(saved(of_bytes, "WEBP", lossless=True, exact=True), colours, within=0)
    of_bytes[0, 0, 3] = 1
    assert to_pixels(saved(of_bytes, "PNG"), 3, HEIGHT, WIDTH)[1:].min() == 255


def test_a_jpeg_of_four_channels_is_read_as_its_marker_says() -> None:
    """Adobe's are inverted; of transform 2 the first three channels are YCbCr of the inverted colour."""
    grey = np.full((16, 16), 200, np.uint8)
    inks = [Image.fromarray(grey), *(Image.new("L", (16, 16), value) for value in (40, 90, 30))]
    cmyk = saved(Image.merge("CMYK", inks), "JPEG", quality=100, subsampling=0)
    wanted = [(255 - ink) * (255 - 30) / 255 for ink in (200, 40, 90)]
    assert np.abs(to_pixels(cmyk, 3, 16, 16)[4, 4] - wanted).max() <= 2
    at = cmyk.index(b"Adobe")
    assert cmyk[at + 11] == 0
    ycck = cmyk[: at + 11] + b"\2" + cmyk[at + 12 :]
    # what Pillow wrote, inverted: y, cb, cr, k of 55, 215, 165 and 225; libjpeg gives 255 - rgb of them as inks
    y, cb, cr = 55, 215 - 128, 165 - 128
    rgb = np.clip([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 0, 255)
    inks_read = 255 - (255 - rgb)
    wanted = [ink * (255 - 30) / 255 for ink in 255 - inks_read]
    assert np.abs(to_pixels(ycck, 3, 16, 16)[4, 4] - wanted).max() <= 3


def test_a_jpeg_of_twelve_bits_is_refused_by_its_bits() -> None:
    jpeg = saved(np.zeros((16, 16), np.uint8), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 4
    assert "12 bits" in refused(jpeg[:at] + b"\x0c" + jpeg[at + 1 :])


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow has no AVIF")
def test_avif_is_read() -> None:
    y, x = np.mgrid[:32, :48]
    picture = np.dstack([y * 8, x * 5, 255 - y * 8]).astype(np.uint8)
    assert np.abs(to_pixels(saved(picture, "AVIF", quality=100), 3, 32, 48).astype(int) - picture).mean() <= 4


class TestMetadata:
    """What programs wrote about a picture may be broken: the picture is whole."""

    PICTURE = DRAWS.integers(0, 256, (HEIGHT, WIDTH, 3))
    GARBAGE = (b"garbage!", b"Exif\0\0garbage!", b"Exif\0\0MM\0*\0\0\0\10\0\1\1\x12", b"Exif\0\0MM\0*\xff\xff\xff\xff",
               b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0")  # fmt: skip

    @pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
    @pytest.mark.parametrize("exif", GARBAGE)
    def test_exif_that_cannot_be_read_says_nothing(self, form: str, exif: bytes) -> None:
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
        plain = saved(self.PICTURE.astype(np.uint8), form, **options)
        noted = saved(self.PICTURE.astype(np.uint8), form, exif=exif, **options)
        assert (to_pixels(noted, 3, HEIGHT, WIDTH) == to_pixels(plain, 3, HEIGHT, WIDTH)).all()

    @pytest.mark.parametrize(
        ("kind", "value"),
        [(1, b"\6\0\0\0"), (2, b"6\0\0\0"), (3, b"\0\6\0\0"), (4, b"\0\0\0\6"), (7, b"\6\0\0\0"), (7, b"6\0\0\0")],
        ids=["byte", "ascii", "short", "long", "undefined", "text"],
    )
    @pytest.mark.parametrize("form", ["PNG", "WEBP"])
    def test_an_orientation_of_any_type_turns_the_picture(self, form: str, kind: int, value: bytes) -> None:
        exif = b"Exif\0\0MM\0*\0\0\0\10\0\1\1\x12" + struct.pack(">HI", kind, 1) + value + bytes(4)
        options = {"lossless": True} if form == "WEBP" else {}
        data = saved(self.PICTURE.astype(np.uint8), form, exif=exif, **options)
        assert (to_pixels(data, 3, WIDTH, HEIGHT) == np.rot90(self.PICTURE, -1)).all()

    @pytest.mark.parametrize(
        "broken",
        [
            chunk(b"tEXt", b"a\0b", crc=5), chunk(b"iCCP", b"x\0\0garbage"), chunk(b"iCCP", b"x\0\7garbage"),
            chunk(b"zTXt", b"x\0\5garbage"), chunk(b"iTXt", b"k\0\1\0\0\0garbage"), chunk(b"eXIf", b"garbage!"),
            chunk(b"gAMA", b"1"), chunk(b"pHYs", b"1"), chunk(b"sRGB", b""), chunk(b"cHRM", b"1"),
            chunk(b"acTL", b"12"), chunk(b"fcTL", b"1234"), chunk(b"tEXt", b"\xff\0\xff"),
        ],
    )  # fmt: skip
    def test_chunks_that_are_no_pixels(self, broken: bytes) -> None:
        whole = png(self.PICTURE, 8, 2)
        end = whole.index(b"IEND") - 4
        for data in (whole[:33] + broken + whole[33:], whole[:end] + broken + whole[end:]):
            assert_read(data, self.PICTURE.astype(float), within=0)

    def test_chunks_that_are_pixels(self) -> None:
        whole = png(self.PICTURE, 8, 2)
        at = whole.index(b"IDAT") + 20
        assert refused(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])

    @pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xE0, 0xFE])
    @pytest.mark.parametrize(
        "content",
        [
            b"", b"\0", b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0garbage", b"Photoshop 3.0\x008BIM\4\4\0",
            b"http://ns.adobe.com/xap/1.0/\0<x", bytes(70),
        ],
    )  # fmt: skip
    def test_segments_that_are_no_pixels(self, marker: int, content: bytes) -> None:
        plain = saved(self.PICTURE.astype(np.uint8), "JPEG", quality=95)
        noted = plain[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + plain[2:]
        assert (to_pixels(noted, 3, HEIGHT, WIDTH) == to_pixels(plain, 3, HEIGHT, WIDTH)).all()
