"""The conformance kit as tests: what `udbench check` asks of a plugin, one test for each question.

    from udbench.testing.kit import checks

    @checks("my-plugin")
    def test_it_keeps_the_contract(check, tmp_path):
        check(tmp_path)

It is imported by name and is no pytest plugin of its own, so that it touches no other tests.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from udbench import plugins
from udbench.authors.findings import Broken, Finding, Skipped
from udbench.authors.kit import LIMIT, Check, checks_of, listened
from udbench.authors.target import folder_target, installed_target


def checks(plugin: str | Path, *, limit: float = LIMIT) -> pytest.MarkDecorator:
    """Parametrise a test over all checks of a plugin; its parameter is called `check`.

    `plugin` is the distribution's or the entry point's name, or the folder of a package that need not be installed.
    Calling a check with a folder to write in raises an AssertionError that says what was expected, what came and how
    to mend it. The plugin is loaded in a process of its own first, for at most `limit` seconds, and here only where
    that went well. Raises UnknownName when no such plugin is installed, and BadData for a folder without one.
    """
    found = _checks(plugin, limit)
    ids = [f"{each.subject}-{each.title}" for each in found]
    return pytest.mark.parametrize("check", [_Asked(each) for each in found], ids=ids)


class _Asked:
    """A check that can be called."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __call__(self, folder: Path) -> None:
        try:
            self.check.ask(folder)
        except Skipped as skipped:
            pytest.skip(str(skipped))


@functools.cache
def _checks(plugin: str | Path, limit: float) -> list[Check]:
    found: list[Check] = []
    names: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        target = folder_target(plugin, Path(scratch)) if isinstance(plugin, Path) else installed_target(plugin)
        for message in listened(target, Path(scratch), limit=limit, full=False):
            if isinstance(message, Finding):
                found.append(Check(subject=message.subject, title=message.check, ask=_again(message)))
            else:
                names = message
        if not names:
            return found
        with target.on_path():
            everything = plugins.load()
    own = [item for kind, name in names for item in everything.items(kind) if item.name == name]
    return found + [check for item in own if target.owns(item.owner) for check in checks_of(item, everything)]


def _again(finding: Finding) -> Callable[[Path], None]:
    """What was found already, as a question."""

    def ask(_: Path) -> None:
        if finding.outcome == "failed":
            raise Broken(finding.expected, finding.came, finding.mend)

    return ask
