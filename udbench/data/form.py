"""In which form a domain's images are kept, as a recipe asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from udbench.data.view import Side, View

if TYPE_CHECKING:
    from udbench.config import RecipeSettings

Storage = Literal["pixels", "files", "jpeg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFormat:
    """How images are kept: as "pixels" of (height, width), as the "files" they are, or as "jpeg" whose `side` is
    brought down to `resize` pixels."""

    height: int
    width: int
    storage: Storage = "pixels"
    resize: int | None = None
    side: Side = "short"

    def shape(self) -> dict[str, Any]:
        """All that makes a store of this form another one than a store of another form."""
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
        """Whether images are kept encoded, in shards."""
        return self.storage != "pixels"


def form_of(settings: RecipeSettings, domain: str) -> StoreFormat:
    """The form in which a recipe wants a domain's images."""
    height, width = settings.size_of(domain)
    storage = settings.storage_of(domain)
    resize = settings.resize_of(domain) if storage == "jpeg" else None
    return StoreFormat(height=height, width=width, storage=storage, resize=resize, side=settings.side_of(domain))


def view_of(settings: RecipeSettings, domain: str) -> View:
    """What a recipe shows of a domain's images that are kept encoded."""
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
