"""Boards of some of a suite's domains are called by what they are of."""

from __future__ import annotations

from udbench.boards.partial_suites import listed, part_of, title_of

SUITES = {"ten": ("a", "b", "c", "d")}


def test_a_part_says_what_it_is_of_and_what_it_lacks() -> None:
    part = part_of("ten/part-0123", ("c", "a"), SUITES)
    assert part is not None and part.missing == ("b", "d")
    assert part.sentence == "Part of ten: 2 of its 4 domains. It lacks b, d."
    assert title_of("ten/part-0123", ("c", "a")) == "ten: c, a"


def test_of_a_suite_that_is_not_installed_nobody_knows_what_it_lacks() -> None:
    part = part_of("gone/part-0123", ("c",), SUITES)
    assert part is not None and part.missing is None and "gone, which is not installed here" in part.sentence


def test_whole_suites_sets_of_ones_own_and_empty_folders_are_no_parts() -> None:
    for name in ("ten", "ad_hoc/0123", "transfer/part", "part-0123"):
        assert part_of(name, ("a",), SUITES) is None
    assert part_of("ten/part-0123", (), SUITES) is None
    assert (title_of("ten", ("a",)), title_of("ad_hoc/0123", ("a",))) == ("ten", "ad_hoc: a")
    assert title_of("ten/part-0123", ()) == "ten/part-0123"


def test_many_domains_are_told_by_their_number() -> None:
    assert listed("abcdef") == "a, b, c, d, e, f" and listed("abcdefgh") == "a, b, c, d, e and 3 more"
    assert listed(["x" * 10_000, "y"]) == "x" * 39 + "…, y"
