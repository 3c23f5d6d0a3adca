"""Triton kernels for the normalisation of several slices and for the views of images in training.

Images are channels-last, so a batch is a matrix of pixels by channels, and a slice is a range of its rows. Sums are
computed in a fixed order, in float32. On a CPU the kernels run in Triton's interpreter, as in the tests.
"""

# pyright: basic

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def channels_here(place, channels, CHANNELS: tl.constexpr):
    """The channels of a program at a position of the grid, and the mask of those that exist."""
    c = place * CHANNELS + tl.arange(0, CHANNELS)
    return c, c < channels


@triton.jit
def pixels_here(starts, parts, PIXELS: tl.constexpr):
    """The first pixel and the end of this program's part of its slice."""
    g = tl.program_id(2)
    first, last = tl.load(starts + g), tl.load(starts + g + 1)
    each = tl.cdiv(tl.cdiv(last - first, parts), PIXELS) * PIXELS
    begin = first + tl.program_id(0) * each
    return begin, tl.minimum(begin + each, last)


@triton.jit
def both_sums(sums, g, c, known, channels, PARTS: tl.constexpr):
    """The two sums of a slice, added over its parts."""
    of = sums + ((g * PARTS + tl.arange(0, PARTS)[:, None]) * 2) * channels + c[None, :]
    one = tl.sum(tl.load(of, mask=known[None, :], other=0.0), axis=0)
    return one, tl.sum(tl.load(of + channels, mask=known[None, :], other=0.0), axis=0)


@triton.jit
def middle_of_slice(x, first, last, channels, c, known, HEAD: tl.constexpr):
    """The mean of a slice's first pixels, which is subtracted before summing so that float32 is accurate enough."""
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
    """Sum x - s and (x - s)^2 for each slice, part of its pixels and channel, where s is `middle_of_slice`.

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
def stats_of_sums(
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
    """Compute each slice's mean, unbiased variance and 1 / sqrt(variance + eps) from the sums, (slices, channels)."""
    g = tl.program_id(1)
    c, known = channels_here(tl.program_id(0), channels, CHANNELS)
    first, last = tl.load(starts + g), tl.load(starts + g + 1)
    one, two = both_sums(sums, g, c, known, channels, PARTS)
    number = (last - first).to(tl.float32)
    shift = middle_of_slice(x, first, last, channels, c, known, 16)  # pyright: ignore[reportArgumentType]
    off = one / number
    biased = two / number - off * off
    biased = tl.where(biased < 0, 0.0, biased)  # NaN stays NaN
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
    """out = (x - mean) * scale * weight + bias for each slice. weight_stride is 0 where all slices share a weight."""
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
    """Sum the gradient and gradient * (x - mean) for each slice, part of its pixels and channel."""
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
    """Compute each slice's gradients of weight and bias from the sums, and two terms of the pixels' gradients.

    `level` is the mean gradient, `slant` the coefficient of x - mean. (slices, channels) each.
    """
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
    numbers,
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
    """Crop, mirror and whiten stored images (N, height, width, STORED) uint8. Pixels outside an image are zero.

    numbers: (4, images of the whole batch): the index of the stored image, the vertical and horizontal shift of
    the crop, and whether it is mirrored. out: (images of the whole batch, height, width, 3). The programs compute the
    images from `first` on.
    """
    i = tl.program_id(0).to(tl.int64) + first
    picked = tl.load(numbers + i)
    down, right = tl.load(numbers + images + i), tl.load(numbers + 2 * images + i)
    mirrored = tl.load(numbers + 3 * images + i)
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
