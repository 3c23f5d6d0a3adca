"""Preprocess one image exactly as a run preprocesses its test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from udbench.data.form import form_of, view_of
from udbench.data.shard_store import kept_form

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


def eval_pixels(
    data: bytes | NDArray[np.uint8], settings: RecipeSettings, domain: str, channels: int
) -> NDArray[np.uint8]:
    """Return the evaluation view of an image, (H, W, channels) uint8, under a run's settings for a domain.

    `data` is the content of an image file, or pixels. Raises DamagedImage.
    """
    form = form_of(settings, domain)
    if form.storage == "jpeg":
        data, _, _ = kept_form(data, channels, form)
    return view_of(settings, domain).pixels(data, channels)
