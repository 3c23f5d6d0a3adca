"""The contract of a recipe: how to train, as data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to train: rounds, batch size, image size, optimizer, schedule, augmentation, evaluation.

    `settings` speaks the flat names of `udbench show RECIPE`; a table under "domain" overrides some of them
    for one domain: {"domain": {"mnist": {"flip": False}}}. A recipe that `continues` is laid over the settings of the
    run that `--from` names, and is for nothing else.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    continues: bool = False
    summary: str = ""
