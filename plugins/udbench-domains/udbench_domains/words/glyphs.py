"""A word's letters as a mask: font, weight, spacing, line, underline."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

from udbench_domains.words.fonts import needs_shaping

# Above all letters that are set one by one: Latin, Greek and Cyrillic. Others may join or stack.
PLAIN_BELOW = 0x530


def text_mask(word: str, font: ImageFont.FreeTypeFont, draws: np.random.Generator) -> Image.Image:
    """The letters white on black, cut to their box."""
    em = int(font.size)
    weight = (0, 0, 0, 1, 1, 2)[int(draws.integers(6))] * max(1, round(em / 48))
    apart = draws.random() < 0.5
    spacing = draws.uniform(-0.03, 0.25) * em
    bend = draws.uniform(-0.4, 0.4) * em if draws.random() < 0.5 else 0.0
    underlined = draws.random() < 0.04
    single = len(word) > 1 and not needs_shaping(word) and all(ord(c) < PLAIN_BELOW for c in word)
    if apart and single:
        mask = _letter_by_letter(word, font, weight, spacing, bend)
    else:
        mask = Image.new("L", (int(font.getlength(word)) + 4 * em, 4 * em))
        ImageDraw.Draw(mask).text((2 * em, 2.5 * em), word, 255, font, anchor="ls", stroke_width=weight)
    box = mask.getbbox()
    assert box is not None, "a font draws a word of which it has every letter"
    if underlined:
        thick = max(1, em // 16)
        line = box[3] + thick
        ImageDraw.Draw(mask).rectangle((box[0], line, box[2], line + thick), 255)
        box = (box[0], box[1], box[2], line + thick + 1)
    return mask.crop(box)


def _letter_by_letter(word: str, font: ImageFont.FreeTypeFont, weight: int, spacing: float, bend: float) -> Image.Image:
    """Letters spaced out along a parabola whose ends lie `bend` pixels below its middle, each turned along it."""
    em = int(font.size)
    starts = [font.getlength(word[:i]) + i * spacing for i in range(len(word) + 1)]
    total = max(starts[-1], 1.0)
    mask = Image.new("L", (int(total) + 6 * em, 4 * em))
    for letter, start, end in zip(word, starts, starts[1:], strict=False):
        middle = (start + end - spacing) / 2
        place = 2 * middle / total - 1
        drop, slope = bend * (place * place - 1), 4 * bend * place / total
        tile = Image.new("L", (3 * em, 3 * em))
        ImageDraw.Draw(tile).text((1.5 * em, 2 * em), letter, 255, font, anchor="ms", stroke_width=weight)
        if bend:
            angle = -float(np.degrees(np.arctan(slope)))
            tile = tile.rotate(angle, Image.Resampling.BILINEAR, center=(1.5 * em, 2 * em))
        at = (int(middle + 1.5 * em), int(drop + 0.5 * em + 0.5))
        area = (*at, at[0] + tile.width, at[1] + tile.height)
        mask.paste(ImageChops.lighter(mask.crop(area), tile), at)
    return mask
