"""The domains of a phase by index, by slice and by name."""

from __future__ import annotations

import pytest

from udbench.config import RecipeSettings
from udbench.errors import SettingError
from udbench.overrides import validated
from udbench.train.phases import resolve_phases

DOMAINS = ("a", "b", "c")


def chosen(domains: object, old: tuple[str, ...] = ()) -> tuple[str, ...]:
    settings = validated(RecipeSettings, {"rounds": 1, "phases": [{"domains": domains}]}, "run")
    (phase,) = resolve_phases(settings, DOMAINS, old)
    return phase.domains


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ("all", "abc"), ("new", "abc"), ("[0]", "a"), ("[1]", "b"), ("[-1]", "c"), ("[-3]", "a"), ("[1:]", "bc"),
        ("[:-1]", "ab"), ("[1:2]", "b"), ("[:]", "abc"), ("[-5:2]", "ab"), (["c", "a"], "ca"),
    ],
)  # fmt: skip
def test_an_index_or_slice_is_read_as_python_reads_it(domains: object, expected: str) -> None:
    assert chosen(domains) == tuple(expected)


def test_an_index_counts_the_domains_that_are_new() -> None:
    assert (chosen("[0]", ("a",)), chosen("[1:]", ("a",)), chosen("all", ("a",))) == (("b",), ("c",), DOMAINS)


@pytest.mark.parametrize("domains", ["[7]", "[3:]", "[-4]", "[2:1]"])
def test_an_index_of_no_domain_is_refused(domains: str) -> None:
    with pytest.raises(SettingError, match=r"phase 1 is for the domains .* of a, b, c there are none"):
        chosen(domains)


@pytest.mark.parametrize("domains", ["first", "but-last", "[x]", "[]", "[0:1:2]", "[99999]", "a", ""])
def test_another_word_is_refused_with_what_there_is(domains: str) -> None:
    with pytest.raises(SettingError, match=r"phases.0.domains = .*expected all, new, an index or slice such as"):
        chosen(domains)
