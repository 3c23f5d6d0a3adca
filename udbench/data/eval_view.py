"""An image of one's own as a run sees its test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from udbench.data.form import form_of, view_of
from udbench.data.shard_store import kept_form

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


def seen(data: bytes | NDArray[np.uint8], settings: RecipeSettings, domain: str, channels: int) -> NDArray[np.uint8]:
    """An image file's bytes, or pixels, as a run with these settings scores the domain's images: (H, W, channels).

    Raises DamagedImage.
    """
    form = form_of(settings, domain)
    if form.storage == "jpeg":
        data, _, _ = kept_form(data, channels, form)
    return view_of(settings, domain).pixels(data, channels)
