"""Boards of some of a suite's domains: what such a board is of, by names and not by the hash that its folder has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from udbench.plugin.contracts_data import AD_HOC

MOST_NAMED, LONGEST = 6, 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A board of some of a suite's domains. `missing`: the suite's others, in its order; None where the suite is not
    installed, so that nobody knows."""

    suite: str
    domains: tuple[str, ...]
    missing: tuple[str, ...] | None

    @property
    def sentence(self) -> str:
        """What the board is of and what it lacks."""
        if self.missing is None:
            return f"Part of {self.suite}, which is not installed here, so what it lacks is not known."
        number = len(self.domains) + len(self.missing)
        missing = ", ".join(map(cut, self.missing))
        return f"Part of {self.suite}: {len(self.domains)} of its {number} domains. It lacks {missing}."


def part_of(board: str, domains: Sequence[str], suites: Mapping[str, Sequence[str]]) -> Part | None:
    """What a board is a part of, by its name; None where it is of a whole suite. `suites`: the domains of those that
    are installed."""
    suite, _, folder = board.rpartition("/")
    if not suite or not folder.startswith("part-") or not domains:
        return None
    whole = suites.get(suite)
    missing = None if whole is None else tuple(name for name in whole if name not in domains)
    return Part(suite=suite, domains=tuple(domains), missing=missing)


def title_of(board: str, domains: Sequence[str]) -> str:
    """What a board is called: its name, or where its folder is named by a hash, its suite and its domains."""
    suite, _, folder = board.rpartition("/")
    hashed = suite == AD_HOC or (suite and folder.startswith("part-"))
    return f"{suite}: {listed(domains)}" if hashed and domains else board


def listed(domains: Sequence[str]) -> str:
    """Domains by name, or what else has one, the last of many by their number."""
    names = [cut(name) for name in domains]
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMED - 1])} and {len(names) - MOST_NAMED + 1} more"


def cut(name: str) -> str:
    """A name among others in a sentence, no longer than that."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
