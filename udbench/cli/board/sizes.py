"""Columns of parameters and bits of a method, relative to a single-domain network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udbench.boards.sizes import OneNetwork, Size

MOST_TOLD = 4

COLUMNS = (">params", ">× one", ">bits", ">× one")


def cells(size: Size) -> list[str]:
    """The cells of a method."""
    return [
        f"{size.parameters / 1e6:.2f} M",
        f"{size.times:.2f}",
        f"{size.bits / 1e6:.1f} M",
        f"{size.bits_times:.2f}",
    ]


def document(size: Size) -> dict[str, Any]:
    """The same as a JSON document."""
    return {
        "parameters": size.parameters,
        "parameters_ratio": size.times,
        "bits": size.bits,
        "bits_ratio": size.bits_times,
    }


def about(networks: Iterable[OneNetwork]) -> str:
    """A sentence about the networks that the ratios refer to."""
    told = [each.sentence for each in networks]
    more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    return (
        "× one: relative to one single-domain network (udbench show parameters-ratio), "
        f"{'; '.join(told[:MOST_TOLD])}{more}"
    )
