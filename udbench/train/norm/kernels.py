"""Triton kernels: normalisation of several slices, and the views of images that training sees.

Images lie channels-last, so a batch is a matrix of pixels by channels and a slice is consecutive rows of it. Sums are
taken in a fixed order, in float32. On a CPU they run in Triton's interpreter, which is what tests do.
"""

# pyright: basic

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def channels_here(place, channels, CHANNELS: tl.constexpr):
    """The channels of a program at some place of the grid, and which of them there are."""
    c = place * CHANNELS + tl.arange(0, CHANNELS)
    return c, c < channels


@triton.jit
def pixels_here(starts, parts, PIXELS: tl.constexpr):
    """The first pixel of this program's part of its slice, and the end."""
    g = tl.program_id(2)
    first, last = tl.load(starts + g), tl.load(starts + g + 1)
    each = tl.cdiv(tl.cdiv(last - first, parts), PIXELS) * PIXELS
    begin = first + tl.program_id(0) * each
    return begin, tl.minimum(begin + each, last)


@triton.jit
def both_sums(sums, g, c, known, channels, PARTS: tl.constexpr):
    """The two sums of a slice, over its parts."""
    of = sums + ((g * PARTS + tl.arange(0, PARTS)[:, None]) * 2) * channels + c[None, :]
    one = tl.sum(tl.load(of, mask=known[None, :], other=0.0), axis=0)
    return one, tl.sum(tl.load(of + channels, mask=known[None, :], other=0.0), axis=0)


@triton.jit
def middle_of_slice(x, first, last, channels, c, known, HEAD: tl.constexpr):
    """The mean of a slice's first pixels, from which sums are taken: near enough to the mean for float32."""
    row = first + tl.arange(0, HEAD)
    here = (row < last)[:, None] & known[None, :]
    head = tl.load(x + row[:, None] * channels + c[None, :], mask=here, other=0.0).to(tl.float32)
    return tl.sum(head, axis=0) / tl.minimum(last - first, HEAD).to(tl.float32)


@triton.jit(do_not_specialize=["parts"])
def sums_of_pixels(
    x,
    sums,
    starts,
    channels,
    parts,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """For each slice, part of its pixels and channel: the sums of x - s and (x - s)^2, s being `middle_of_slice`.

    sums: (slices, parts, 2, channels).
    """
    part, g = tl.program_id(0), tl.program_id(2)
    c, known = channels_here(tl.program_id(1), channels, CHANNELS)
    begin, end = pixels_here(starts, parts, PIXELS)
    first, last = tl.load(starts + g), tl.load(starts + g + 1)
    shift = middle_of_slice(x, first, last, channels, c, known, 16)  # pyright: ignore[reportArgumentType]
    one = tl.zeros((PIXELS, CHANNELS), tl.float32)
    two = tl.zeros((PIXELS, CHANNELS), tl.float32)
    pixels = tl.arange(0, PIXELS)
    for at in range(begin, end, PIXELS):
        row = at + pixels
        here = (row < end)[:, None] & known[None, :]
        value = tl.load(x + row[:, None] * channels + c[None, :], mask=here, other=0.0).to(tl.float32)
        value = tl.where(here, value - shift[None, :], 0.0)
        one += value
        two += value * value
    to = sums + ((g * parts + part) * 2) * channels + c
    tl.store(to, tl.sum(one, axis=0), mask=known)
    tl.store(to + channels, tl.sum(two, axis=0), mask=known)


@triton.jit
def moments_of_sums(
    x,
    sums,
    mean,
    var,
    scale,
    eps,
    starts,
    channels,
    PARTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """From those sums each slice's mean, its unbiased variance and 1 / sqrt(variance + eps), (slices, channels)."""
    g = tl.program_id(1)
    c, known = channels_here(tl.program_id(0), channels, CHANNELS)
    first, last = tl.load(starts + g), tl.load(starts + g + 1)
    one, two = both_sums(sums, g, c, known, channels, PARTS)
    number = (last - first).to(tl.float32)
    shift = middle_of_slice(x, first, last, channels, c, known, 16)  # pyright: ignore[reportArgumentType]
    off = one / number
    biased = two / number - off * off
    biased = tl.where(biased < 0, 0.0, biased)  # what is no number stays none
    to = g * channels + c
    tl.store(mean + to, shift + off, mask=known)
    tl.store(var + to, biased * (number / tl.maximum(number - 1.0, 1.0)), mask=known)
    tl.store(scale + to, 1.0 / tl.sqrt(biased + eps), mask=known)


@triton.jit(do_not_specialize=["parts"])
def normalise_pixels(
    x,
    mean,
    scale,
    weight,
    bias,
    out,
    weight_stride,
    starts,
    channels,
    parts,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """out = (x - mean) * scale * weight + bias, each slice with its own; weight_stride 0 where all share one."""
    g = tl.program_id(2)
    c, known = channels_here(tl.program_id(1), channels, CHANNELS)
    begin, end = pixels_here(starts, parts, PIXELS)
    at_mean = tl.load(mean + g * channels + c, mask=known, other=0.0)
    factor = tl.load(scale + g * channels + c, mask=known, other=0.0)
    factor *= tl.load(weight + g * weight_stride + c, mask=known, other=0.0)
    shift = tl.load(bias + g * weight_stride + c, mask=known, other=0.0)
    pixels = tl.arange(0, PIXELS)
    for at in range(begin, end, PIXELS):
        row = at + pixels
        here = (row < end)[:, None] & known[None, :]
        place = row[:, None] * channels + c[None, :]
        value = tl.load(x + place, mask=here, other=0.0).to(tl.float32)
        value = (value - at_mean[None, :]) * factor[None, :] + shift[None, :]
        tl.store(out + place, value.to(out.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["parts"])
def sums_of_gradients(
    gradient,
    x,
    mean,
    sums,
    starts,
    channels,
    parts,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """For each slice, part of its pixels and channel: the sums of the gradient and of gradient * (x - mean)."""
    part, g = tl.program_id(0), tl.program_id(2)
    c, known = channels_here(tl.program_id(1), channels, CHANNELS)
    begin, end = pixels_here(starts, parts, PIXELS)
    at_mean = tl.load(mean + g * channels + c, mask=known, other=0.0)
    one = tl.zeros((PIXELS, CHANNELS), tl.float32)
    two = tl.zeros((PIXELS, CHANNELS), tl.float32)
    pixels = tl.arange(0, PIXELS)
    for at in range(begin, end, PIXELS):
        row = at + pixels
        here = (row < end)[:, None] & known[None, :]
        place = row[:, None] * channels + c[None, :]
        value = tl.load(x + place, mask=here, other=0.0).to(tl.float32) - at_mean[None, :]
        slope = tl.load(gradient + place, mask=here, other=0.0).to(tl.float32)
        one += slope
        two += slope * value
    to = sums + ((g * parts + part) * 2) * channels + c
    tl.store(to, tl.sum(one, axis=0), mask=known)
    tl.store(to + channels, tl.sum(two, axis=0), mask=known)


@triton.jit
def gradients_of_sums(
    sums,
    scale,
    weight_gradient,
    bias_gradient,
    level,
    slant,
    starts,
    channels,
    PARTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """From those sums each slice's gradients of weight and bias, the mean gradient (`level`), and by what the gradient
    of a pixel falls with its value (`slant`), (slices, channels) each."""
    g = tl.program_id(1)
    c, known = channels_here(tl.program_id(0), channels, CHANNELS)
    first, last = tl.load(starts + g), tl.load(starts + g + 1)
    one, two = both_sums(sums, g, c, known, channels, PARTS)
    number = (last - first).to(tl.float32)
    to = g * channels + c
    factor = tl.load(scale + to, mask=known, other=0.0)
    tl.store(bias_gradient + to, one, mask=known)
    tl.store(weight_gradient + to, two * factor, mask=known)
    tl.store(level + to, one / number, mask=known)
    tl.store(slant + to, two * factor * factor / number, mask=known)


@triton.jit(do_not_specialize=["parts"])
def gradient_of_pixels(
    gradient,
    x,
    mean,
    scale,
    weight,
    level,
    slant,
    back,
    weight_stride,
    starts,
    channels,
    parts,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """back = weight * scale * (gradient - level - (x - mean) * slant)."""
    g = tl.program_id(2)
    c, known = channels_here(tl.program_id(1), channels, CHANNELS)
    begin, end = pixels_here(starts, parts, PIXELS)
    at_mean = tl.load(mean + g * channels + c, mask=known, other=0.0)
    factor = tl.load(scale + g * channels + c, mask=known, other=0.0)
    factor *= tl.load(weight + g * weight_stride + c, mask=known, other=0.0)
    at_level = tl.load(level + g * channels + c, mask=known, other=0.0)
    at_slant = tl.load(slant + g * channels + c, mask=known, other=0.0)
    pixels = tl.arange(0, PIXELS)
    for at in range(begin, end, PIXELS):
        row = at + pixels
        here = (row < end)[:, None] & known[None, :]
        place = row[:, None] * channels + c[None, :]
        value = tl.load(x + place, mask=here, other=0.0).to(tl.float32) - at_mean[None, :]
        slope = tl.load(gradient + place, mask=here, other=0.0).to(tl.float32)
        value = (slope - at_level[None, :] - value * at_slant[None, :]) * factor[None, :]
        tl.store(back + place, value.to(back.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["first"])
def views_of_images(
    store,
    said,
    mean,
    scale,
    out,
    first,
    images,
    height,
    width,
    STORED: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Windows of stored images (N, height, width, STORED) uint8, whitened, with zeros where they leave the image.

    said: (4, images of the whole batch): which stored image each is, the window's rows and columns off the image, and
    whether it is mirrored. out: (images of the whole batch, height, width, 3). These are the batch's from `first` on.
    """
    i = tl.program_id(0).to(tl.int64) + first
    picked = tl.load(said + i)
    down, right = tl.load(said + images + i), tl.load(said + 2 * images + i)
    mirrored = tl.load(said + 3 * images + i)
    place = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    there = place < height * width
    y, x = place // width, place % width
    x = tl.where(mirrored > 0, width - 1 - x, x) + right
    y = y + down
    inside = there & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    of = store + ((picked * height + y) * width + x) * STORED
    to = out + (i * height * width + place) * 3
    for c in tl.static_range(3):  # pyright: ignore[reportGeneralTypeIssues]
        value = tl.load(of + c % STORED, mask=inside, other=0).to(tl.float32)
        value = (value - tl.load(mean + c % STORED)) * tl.load(scale + c % STORED)
        tl.store(to + c, tl.where(inside, value, 0.0).to(out.dtype.element_ty), mask=there)
