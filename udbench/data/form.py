"""The format of a store and the view of its images, derived from a recipe's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from udbench.data.view import Side, View

if TYPE_CHECKING:
    from udbench.config import RecipeSettings

Storage = Literal["pixels", "files", "jpeg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFormat:
    """How a store keeps images: decoded "pixels" of (height, width), the original "files", or "jpeg" whose `side` is
    reduced to `resize` pixels."""

    height: int
    width: int
    storage: Storage = "pixels"
    resize: int | None = None
    side: Side = "short"

    def shape(self) -> dict[str, Any]:
        """The fields that identify the format: stores with equal values hold the same images."""
        match self.storage:
            case "pixels":
                return {"size": [self.height, self.width]}
            case "files":
                return {"storage": "files"}
            case "jpeg":
                return {"storage": "jpeg", "resize": self.resize, "side": self.side}

    def __str__(self) -> str:
        match self.storage:
            case "pixels":
                return f"{self.height}x{self.width}"
            case "files":
                return "shards of files"
            case "jpeg":
                return f"shards of jpeg, {'height' if self.side == 'height' else 'shorter side'} {self.resize}"

    @property
    def sharded(self) -> bool:
        """Whether images are kept encoded, in tar shards."""
        return self.storage != "pixels"


def form_of(settings: RecipeSettings, domain: str) -> StoreFormat:
    """The store format that the settings ask for, for one domain."""
    height, width = settings.size_of(domain)
    storage = settings.storage_of(domain)
    resize = settings.resize_of(domain) if storage == "jpeg" else None
    return StoreFormat(height=height, width=width, storage=storage, resize=resize, side=settings.side_of(domain))


def view_of(settings: RecipeSettings, domain: str) -> View:
    """The view that the settings ask for of one domain's encoded images."""
    height, width = settings.size_of(domain)
    if settings.crop_of(domain) == "resize":
        return View(height=height, width=width)
    return View(
        height=height,
        width=width,
        resize=settings.resize_of(domain),
        side=settings.side_of(domain),
        aspect_jitter=settings.aspect_jitter_of(domain),
    )
