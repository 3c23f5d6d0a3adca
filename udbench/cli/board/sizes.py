"""How the command line says what a method holds, against one network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udbench.boards.sizes import OneNetwork, Size

MOST_TOLD = 4

COLUMNS = (">params", ">× one", ">bits", ">× one")


def cells(size: Size) -> list[str]:
    """The columns' words for a method."""
    return [
        f"{size.parameters / 1e6:.2f} M",
        f"{size.times:.2f}",
        f"{size.bits / 1e6:.1f} M",
        f"{size.bits_times:.2f}",
    ]


def document(size: Size) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "parameters": size.parameters,
        "parameters_ratio": size.times,
        "bits": size.bits,
        "bits_ratio": size.bits_times,
    }


def about(networks: Iterable[OneNetwork]) -> str:
    """What the ratios are held against."""
    told = [each.sentence for each in networks]
    more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    return (
        f"× one: against one network of one domain (udbench show parameters-ratio), {'; '.join(told[:MOST_TOLD])}{more}"
    )
