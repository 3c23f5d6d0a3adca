"""The paper's domains, suites and recipes for udbench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from udbench import Domain, Recipe, Suite, hookimpl


@hookimpl
def udbench_domains() -> Iterable[Domain]:
    """The paper's ten domains, and caltech101."""
    from udbench_domains.catalogue import DOMAINS

    return DOMAINS


@hookimpl
def udbench_suites() -> Iterable[Suite]:
    """`universal-ten`, the paper's ten domains in its order."""
    from udbench_domains.suites import SUITES

    return SUITES


@hookimpl
def udbench_recipes() -> Iterable[Recipe]:
    """`paper-small`, the paper's training of the ten."""
    from udbench_domains.suites import RECIPES

    return RECIPES


@hookimpl
def udbench_commands() -> Mapping[str, tuple[str, str]]:
    """`udbench data make-words`, which draws images of words in the layout of Synth90k."""
    summary = "Draw images of words, laid out as Synth90k is, for those who cannot download it."
    return {"data/make-words": ("udbench_domains.words.verb:make_words_verb", summary)}
