"""What is asked of suites: that what they name is installed and fits together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.conformance import found, said
from udbench import Suite

SUITE = Suite(name="mine", domains=("glyphs", "signs"), recipe="short")


def test_a_suite_of_installed_domains_passes(tmp_path: Path) -> None:
    assert not said(found(SUITE, tmp_path))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"domains": ("no-such-domain",)}, "what it names is installed | no domain 'no-such-domain'"),
        ({"domains": ("glyphs", "signs", "glyphs")}, "names each domain once | 'glyphs' is named more than once"),
        ({"domains": ()}, "at least one | it is ()"),
        ({"domains": "glyphs"}, "a tuple of names, at least one | it is 'glyphs'"),
        ({"recipe": "shortt"}, "no recipe 'shortt'. Did you mean 'short'?"),
        ({"score": "mean"}, "no score 'mean'"),
        ({"recipe": "add-domain"}, "trains a network from the start | 'add-domain' goes on from a trained network"),
        ({"score": "decathlon"}, "its score takes its domains | 'decathlon' refuses them: score 'decathlon' knows no"),
        ({"version": 2}, "it has a version, as a string | it is 2"),
        ({"name": "ad_hoc"}, "its name is free | 'ad_hoc' is what --domains makes"),
    ],
)
def test_a_suite_that_does_not_fit_is_named_with_what_to_mend(
    changed: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in said(found(replace(SUITE, **changed), tmp_path))
